/** A resident's own rating in words: as a whole, and of what else they gave stars for. */
import { i18n } from '@/words'
import type { Schemas } from '@/api/client'
import { listed } from './format'

export function residentRating(one: Pick<Schemas['Case'], 'resident_stars' | 'resident_attitude' | 'resident_result'>): string {
  const { t } = i18n.global
  const given = [
    ['case.residentWhole', one.resident_stars],
    ['case.residentAttitude', one.resident_attitude],
    ['case.residentResult', one.resident_result],
  ] as const
  return listed(given.flatMap(([what, count]) => (count === null ? [] : [`${t(what)} ${t('case.stars', { count })}`])))
}
