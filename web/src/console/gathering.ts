/** What came of gathering reports into one case 批量并案, which the service does one by one. */
import { ask, client, Problem, type Schemas } from '@/api/client'

type Case = Schemas['Case']
/** A report; without a title where that is still to be read. */
export type Report = Pick<Case, 'id' | 'state' | 'filed_at' | 'county' | 'town'> & { title?: Case['title'] }
/** Why a report was not taken in: its case is in another, is finished or answered, or has not come to it yet; or could not be read. */
export type Left = { report: Report } & ({ why: 'elsewhere' | 'later' | 'unread' } | { why: 'state'; state: Case['state'] })

/** The states in which a case can be merged into another, and takes others in. */
export const OPEN: readonly Case['state'][] = ['triage', 'routed', 'accepted', 'in-progress', 'waiting']
/** So many at most are gathered at once. */
export const GATHERED_MAX = 500
/** So many titles at most are asked for at once. */
export const TITLES_MAX = 100
const WORKED_ON = OPEN.slice(1)
const PAUSE_MS = 500
/** After so many looks without news those that are missing are asked after, one by one. */
const CALM = 4

/** The report that is to take the others in, where nobody says which: the first that a department works on, else the first filed. */
export function firstOf(reports: readonly Report[]): string {
  const open = reports.filter((one) => OPEN.includes(one.state)).sort((a, b) => a.filed_at.localeCompare(b.filed_at))
  return (open.find((one) => WORKED_ON.includes(one.state)) ?? open[0])?.id ?? ''
}

/** The titles of these cases, null where there is none to be read. Throws Problem. */
export async function titlesOf(ids: readonly string[]): Promise<Map<string, string | null>> {
  const { items } = await ask(() => client.GET('/api/cases', { params: { query: { among: ids.join(), size: String(ids.length) } } }))
  const found = new Map(items.map((one) => [one.id, one.title]))
  return new Map(ids.map((id) => [id, found.get(id) ?? null]))
}

/** Wait until the parent has taken in what it can; those that it did not, and why. Throws Problem. */
export async function leftOut(parent: string, reports: readonly Report[], goesOn: () => boolean): Promise<Left[]> {
  let missing = reports
  for (let calm = 0; missing.length > 0 && calm < CALM && goesOn(); ) {
    const { related } = await ask(() => client.GET('/api/cases/{id}', { params: { path: { id: parent } } }))
    const inside = new Set(related.filter((one) => one.merged_into === parent).map((one) => one.id))
    const still = reports.filter((one) => !inside.has(one.id))
    calm = still.length < missing.length ? 0 : calm + 1
    missing = still
    if (missing.length > 0) await new Promise((resume) => setTimeout(resume, PAUSE_MS))
  }
  const found: Left[] = []
  for (const report of missing) {
    const one = await whyLeft(parent, report)
    if (one !== null) found.push(one)
  }
  return found
}

async function whyLeft(parent: string, report: Report): Promise<Left | null> {
  try {
    const now = await ask(() => client.GET('/api/cases/{id}', { params: { path: { id: report.id } } }))
    if (now.merged_into === parent) return null
    if (now.merged_into !== null) return { report, why: 'elsewhere' }
    return OPEN.includes(now.state) ? { report, why: 'later' } : { report, why: 'state', state: now.state }
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    return { report, why: 'unread' }
  }
}
