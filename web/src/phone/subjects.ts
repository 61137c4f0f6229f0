/** Which page shows the thing that a notice is about. */
import type { RouteLocationRaw } from 'vue-router'
import type { Schemas } from '@/api/client'

const PAGES: Record<string, string> = { case: 'case' }

export function placeOf({ kind, subject }: Schemas['Notice']): RouteLocationRaw | undefined {
  const name = PAGES[kind.split('.')[0] ?? '']
  return name === undefined ? undefined : { name, params: { id: subject } }
}
