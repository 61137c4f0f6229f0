/** What people choose from, or write, on both faces: the gateway's words for it, in the order shown. */
import type { Schemas } from '@/api/client'

export type CaseResult = NonNullable<Schemas['Case']['result']>
export const RESULTS: readonly CaseResult[] = ['solved', 'explained', 'unsolved']
/** The parts of a motion besides its text. */
export const MOTION_PARTS = ['cause', 'basis', 'plan'] as const
