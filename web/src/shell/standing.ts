/** How far what has a time of its own has come, by the suite's time. */
import type { Schemas } from '@/api/client'
import { now } from './surroundings'

export const activityStage = ({ starts_at, ends_at }: Pick<Schemas['Activity'], 'starts_at' | 'ends_at'>): 'open' | 'running' | 'over' =>
  new Date(ends_at) < now() ? 'over' : new Date(starts_at) <= now() ? 'running' : 'open'

/** Whether a consultation still takes answers. */
export const takesAnswers = ({ closed_at, closes_at }: Pick<Schemas['Consultation'], 'closed_at' | 'closes_at'>): boolean =>
  closed_at === null && new Date(closes_at) > now()
