/** What a notice 消息 says, in the page's language: its kind is a code, and what belongs to it are codes, moments and numbers. */
import { i18n } from '@/words'
import { day, dayAndTime, number } from './format'
import { departmentName, placeName } from './surroundings'
import type { Schemas } from '@/api/client'

type Value = string | number
const OFTEN_OPEN = ['category', 'result', 'stars', 'answer_by', 'take_up_by', 'due_at', 'deadline']
/** Where the words of a code stand, by the name of what belongs to a notice. */
const NAMED: Record<string, string[]> = {
  result: ['result'],
  deadline: ['motionDue'],
  became: ['noticed.became'],
  kind: ['motionKind', 'activityKind', 'consultationKind', 'dutyKind'],
}

function worded(name: string, value: Value): string {
  const { t, te } = i18n.global
  if (name === 'stars') return t('case.stars', { count: value })
  if (name === 'minutes') return t('course.minutes', { count: value })
  if (typeof value === 'number') return number(value)
  if (name.endsWith('_at') || name.endsWith('_by')) return dayAndTime(value)
  if (name.endsWith('_on')) return day(value)
  const key = NAMED[name]?.map((part) => `${part}.${value}`).find((one) => te(one))
  return key === undefined ? value : t(key).toLowerCase()
}

export function noticed({ kind, parameters }: Schemas['Notice']): string {
  const { t, te } = i18n.global
  if (!te(`noticed.${kind}`)) return t('noticed.other')
  const open = OFTEN_OPEN.map((name) => [name, t('noticed.unknown')])
  const told = Object.entries(parameters).map(([name, value]) => [name, worded(name, value)])
  return t(`noticed.${kind}`, Object.fromEntries([...open, ...told]) as Record<string, string>)
}

/** Where it is and who handles it, by which one tells apart what is said in the same words. */
export function about({ parameters: { town, county, department } }: Schemas['Notice']): string {
  const place = placeName((town ?? county)?.toString())
  return [place, departmentName(department?.toString())].filter(Boolean).join(' ')
}
