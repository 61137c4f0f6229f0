/** What notices are about, and which page shows it. */
import type { RouteLocationRaw } from 'vue-router'
import type { Schemas } from '@/api/client'

/** What happens that people get notices of; see `useReading`. */
export const NOTICED = ['case.', 'motion.', 'activity.', 'consultation.', 'course.', 'duty.']

const PAGES: Record<string, string> = { case: 'case', motion: 'motion', activity: 'activity', consultation: 'consultation', course: 'course' }

export function placeOf({ kind, subject }: Schemas['Notice']): RouteLocationRaw | undefined {
  const about = kind.split('.')[0] ?? ''
  if (about === 'duty') return { name: 'duties' }
  if (about === 'archive') return { name: 'archive' }
  if (about === 'appeal') return { name: 'appeals' }
  const name = PAGES[about]
  return name === undefined ? undefined : { name, params: { id: subject } }
}
