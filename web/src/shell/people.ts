/** The names of deputies who stand in what was read as ids. */
import { ask, client, Problem } from '@/api/client'

/** Names by id; who is unknown, or not to be asked for now, is left out. */
export async function namesOf(ids: readonly string[]): Promise<Map<string, string>> {
  const found = await Promise.all([...new Set(ids)].map((id) => ask(() => client.GET('/api/deputies/{id}', { params: { path: { id } } })).catch(nobody)))
  return new Map(found.filter((one) => one !== null).map((one) => [one.id, one.name]))
}
function nobody(error: unknown): null {
  if (!(error instanceof Problem)) throw error
  return null
}

/** One page of what deputies did, with their names. */
export async function withNames<T extends { items: readonly { deputy_id: string }[] }>(page: T): Promise<T & { names: Map<string, string> }> {
  return { ...page, names: await namesOf(page.items.map((one) => one.deputy_id)) }
}
