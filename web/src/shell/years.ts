/** The years by which scores, activity and motions are shown, in China Standard Time. */
import { isoDay } from './format'
import { now } from './surroundings'

/** So many calendar years a term 届 of five years can touch. */
const TERM_YEARS = 6
/** So many there are always, for a year is compared with those before it, also of another term. */
const LEAST_YEARS = 3
type Years = readonly [string, string, string, ...string[]]

/** The years to choose from, this one first: those since the term began (yyyy-mm-dd), or of a whole term where it is nobody's. */
export function yearsSince(first = ''): Years {
  const last = Number(isoDay(now()).slice(0, 4))
  const count = first === '' ? TERM_YEARS : Math.min(Math.max(last - Number(first.slice(0, 4)) + 1, LEAST_YEARS), TERM_YEARS)
  return Array.from({ length: count }, (_, ago) => String(last - ago)) as unknown as Years
}
