/** Activity 活跃率 as a ratio. */
import type { Schemas } from '@/api/client'

/** The share of a place's deputies who were active in the month at this index; null where it is not shown, or nobody is there. */
export function rateOf({ deputies, active }: Schemas['WholeActivity'], month: number): number | null {
  return active === null || deputies === 0 ? null : (active[month] ?? 0) / deputies
}
