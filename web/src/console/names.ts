/** The names of deputies, kept while the page is open: lists that show them are read again at every change. */
import { namesOf } from '@/shell/people'

const known = new Map<string, string>()

/** Names by id of at least these deputies; who is unknown, or not to be asked for now, is left out, as is who is nobody. */
export async function namesKept(ids: readonly (string | null)[]): Promise<ReadonlyMap<string, string>> {
  for (const [id, name] of await namesOf(ids.filter((id) => id !== null && !known.has(id)) as string[])) known.set(id, name)
  return new Map(known)
}
