/** The names of people, kept while the page is open: what shows them is read again at every change. */
import { ask, client, Problem } from '@/api/client'
import { namesOf } from '@/shell/people'

const known = new Map<string, string>()

/** Names by id of at least these deputies; who is unknown, or not to be asked for now, is left out, as is who is nobody. */
export async function namesKept(ids: readonly (string | null)[]): Promise<ReadonlyMap<string, string>> {
  for (const [id, name] of await namesOf(ids.filter((id) => id !== null && !known.has(id)) as string[])) known.set(id, name)
  return new Map(known)
}

const STAFF_MAX = '500'
let staff: ReadonlyMap<string, string> | undefined

/** The names of the staff by id, which only they may read; nobody's where that cannot be asked for now. */
export async function staffNames(): Promise<ReadonlyMap<string, string>> {
  try {
    staff ??= new Map((await ask(() => client.GET('/api/staff', { params: { query: { size: STAFF_MAX } } }))).items.map((one) => [one.id, one.name]))
  } catch (error) {
    if (!(error instanceof Problem)) throw error
  }
  return staff ?? new Map()
}
