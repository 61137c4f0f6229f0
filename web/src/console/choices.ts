/** What the staff choose from where they make something: the gateway's words for it, in the order shown. */
import type { Schemas } from '@/api/client'

export const ACTIVITY_KINDS: readonly Schemas['Activity']['kind'][] = ['theme', 'inspection', 'research', 'reception', 'training']
export const CONSULTATION_KINDS: readonly Schemas['Consultation']['kind'][] = ['legislation', 'questionnaire']
export const URGENCIES: readonly Schemas['Case']['urgency'][] = ['urgent', 'inquiry', 'normal', 'complex']
export const LEVELS: readonly Schemas['Deputy']['level'][] = ['city', 'county', 'town']
export const STATION_STATES: readonly Schemas['Station']['state'][] = ['open', 'closed']
export const MOTION_KINDS: readonly Schemas['Motion']['kind'][] = ['bill', 'suggestion']
/** The states that others than the author see. */
export const MOTION_STATES: readonly Schemas['Motion']['state'][] = ['submitted', 'accepted', 'assigned', 'objected', 'answered', 'redo', 'closed', 'in-committee', 'reported', 'on-agenda', 'concluded', 'not-accepted', 'withdrawn']
