/** Why a case went where it went, and is due when it is, in the page's language. */
import { i18n } from '@/words'
import { day } from './format'
import { departmentName, placeName } from './surroundings'
import type { Schemas } from '@/api/client'

type Step = Schemas['CaseStep']
type Ground = Schemas['Ground']
const MOVES = ['routed', 'transferred']

/** A ground of a deadline: how long, from when, by which rule. */
function due({ code, about }: Ground): string {
  const { t } = i18n.global
  const amount = about.unit ? t(`amount.${about.unit}`, { count: Number(about.number) }) : ''
  return t(`dueGround.${code}`, { day: day(about.day ?? ''), year: about.day?.slice(0, 4) ?? '', amount, text: about.text ?? '' })
}
/** From so much on, how sure the shipped words or a trained model were. */
const SURE = [
  ['high', 0.9],
  ['good', 0.7],
  ['low', 0],
] as const
function routing({ code, about }: Ground): string {
  const { t } = i18n.global
  const by = t(about.classifier?.startsWith('words-') ? 'judged.byWords' : 'judged.byModel')
  const sure = t(`judged.sure.${SURE.find(([, least]) => Number(about.confidence ?? 0) >= least)?.[0] ?? 'low'}`)
  return t(`ground.${code}`, { ...about, by, sure, place: placeName(about.place), department: departmentName(about.department) })
}

/** Grounds as one sentence; what the service says in its own words where it gives none, or one unknown here. */
export function worded(grounds: readonly Ground[] | undefined, reason: string | null | undefined): string | null {
  const { t, te } = i18n.global
  const known = grounds?.every(({ code }) => te(`ground.${code}`) || te(`dueGround.${code}`))
  if (!grounds?.length || !known) return reason ?? null
  const said = grounds.map((one) => (te(`dueGround.${one.code}`) ? due(one) : routing(one))).join(t('ground.between'))
  return said.charAt(0).toUpperCase() + said.slice(1)
}

export const grounds = (step: Step | undefined): string | null => worded(step?.why, step?.reason)

const lastMove = (one: Schemas['WholeCase']): Step | undefined => [...one.steps].reverse().find((step) => MOVES.includes(step.step))

/** Why a case is where it is: the grounds of its last routing. */
export function routedBecause(one: Schemas['WholeCase']): string | null {
  return grounds(lastMove(one)) ?? one.reason
}

/** For the small print: which version found the category of a case, and how sure it was; null where none did. */
export function judgedBy(one: Schemas['WholeCase']): string | null {
  const about = lastMove(one)?.why?.find(({ code }) => code === 'judged')?.about
  return about ? i18n.global.t('judged.version', { classifier: about.classifier ?? '', confidence: about.confidence ?? '' }) : null
}
