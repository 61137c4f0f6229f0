/** What a deputy did that an appeal 申诉 about a missing row may mean. */
import { ask, client, type Schemas } from '@/api/client'
import { i18n } from '@/words'

export type Fact = {
  /** What names the fact, as the rubric's item wants it. */
  value: string
  title: string
  on: string
}

const SIZE = '100'
/** How each fact is found that one id names; of activities, consultations and courses all are offered. */
const BY: Record<string, (deputy: string) => Promise<Fact[]>> = {
  case_id: async (deputy) => {
    const { items } = await ask(() => client.GET('/api/cases', { params: { query: { deputy, size: SIZE } } }))
    return items.map((one) => ({ value: one.id, title: one.title ?? i18n.global.t('case.erased'), on: one.filed_at }))
  },
  motion_id: async (deputy) => {
    const { items } = await ask(() => client.GET('/api/motions', { params: { query: { deputy, size: SIZE } } }))
    return items.map((one) => ({ value: one.id, title: one.title ?? i18n.global.t('case.erased'), on: one.submitted_at ?? one.drafted_at }))
  },
  duty_id: async (deputy) => {
    const { items } = await ask(() => client.GET('/api/duties', { params: { query: { deputy, size: SIZE } } }))
    return items.map((one) => ({ value: one.id, title: `${i18n.global.t(`dutyKind.${one.kind}`)} ${one.note}`, on: one.happened_on }))
  },
  activity_id: async () => {
    const { items } = await ask(() => client.GET('/api/activities', { params: { query: { size: SIZE } } }))
    return items.map((one) => ({ value: one.id, title: one.title, on: one.starts_at }))
  },
  consultation_id: async () => {
    const { items } = await ask(() => client.GET('/api/consultations', { params: { query: { size: SIZE } } }))
    return items.map((one) => ({ value: one.id, title: one.title, on: one.opened_at }))
  },
}

/** The facts that may be meant, those about its day first; none where no list has them. Throws Problem. */
export async function factsOf({ deputy_id: deputy, named_by: named, happened_on: day }: Schemas['Appeal']): Promise<Fact[]> {
  if (named === 'course_id/year') {
    const { items } = await ask(() => client.GET('/api/courses', { params: { query: { size: SIZE } } }))
    return items.map((one) => ({ value: `${one.id}/${day.slice(0, 4)}`, title: one.title, on: day }))
  }
  const found = (await BY[named ?? '']?.(deputy)) ?? []
  const away = ({ on }: Fact): number => Math.abs(Date.parse(on) - Date.parse(day))
  return found.sort((one, other) => away(one) - away(other))
}
