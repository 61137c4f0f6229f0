/** Why a case went where it went, in the page's language. */
import { i18n } from '@/words'
import { departmentName, placeName } from './surroundings'
import type { Schemas } from '@/api/client'

type Step = Schemas['CaseStep']
const MOVES = ['routed', 'transferred']

/** The grounds of a routing; what the service says in its own words where it gives none, or one unknown here. */
export function grounds(step: Step | undefined): string | null {
  const { t, te } = i18n.global
  if (!step?.why.length || step.why.some((one) => !te(`ground.${one.code}`))) return step?.reason ?? null
  return step.why
    .map(({ code, about }) => t(`ground.${code}`, { ...about, place: placeName(about.place), department: departmentName(about.department) }))
    .join(t('ground.between'))
}

/** Why a case is where it is: the grounds of its last routing. */
export function routedBecause(one: Schemas['WholeCase']): string | null {
  return grounds([...one.steps].reverse().find((step) => MOVES.includes(step.step))) ?? one.reason
}
