/** What became of a case besides its handling: the motions that one may see, and leads for livelihood projects 民生实事线索. */
import { ask, client, type Schemas } from '@/api/client'

export interface Became {
  motions: readonly Schemas['Motion'][]
  leads: readonly Schemas['CaseReferral'][]
}

const NEVER_TAKEN: readonly Schemas['Case']['state'][] = ['submitted', 'declined', 'withdrawn']
/** Whether a case can be taken further: it was taken up, and its words are there. */
export const isReferable = (one: Pick<Schemas['Case'], 'state' | 'title'>): boolean => one.title !== null && !NEVER_TAKEN.includes(one.state)

export async function becameOf(id: string): Promise<Became> {
  const motions = await ask(() => client.GET('/api/motions', { params: { query: { from_case: id, size: '20' } } }))
  const referrals = await ask(() => client.GET('/api/case-referrals/{id}', { params: { path: { id } } }))
  return { motions: motions.items, leads: referrals.items.filter((one) => one.became === 'project-lead') }
}
