/** The inbox 消息 of who is signed in: what it holds, how much of it is unread, and which page shows what a notice is about. */
import { onScopeDispose, ref } from 'vue'
import type { RouteLocationRaw } from 'vue-router'
import { ask, client, type Schemas } from '@/api/client'
import { isAttended } from '@/api/live'
import { expired } from '@/api/session'

/** What happens that people at a desk get notices of; see `useReading`. */
export const NOTICED = ['case.', 'motion.', 'score.appealed']
const AGAIN_MS = 20_000

export const unread = ref(0)

/** One page of the inbox; whoever reads one learns how many are unread. Throws Problem. */
export async function readNotices(query: { unread?: string; page?: string; size?: string }): Promise<Schemas['NoticePage']> {
  const found = await ask(() => client.GET('/api/notices', { params: { query } }))
  unread.value = found.unread
  return found
}

/** Read now and then as well: a notice is written a moment after the hint of what it is about, and not every one has a hint. */
export function nowAndThen(read: () => unknown): void {
  const every = setInterval(() => {
    if (!document.hidden && !expired.value && isAttended()) read()
  }, AGAIN_MS)
  onScopeDispose(() => clearInterval(every))
}

export function placeOf({ kind, subject }: Schemas['Notice']): RouteLocationRaw | undefined {
  const [about, what = ''] = kind.split('.')
  if (about === 'appeal') return { name: 'appeals' }
  if (about === 'motion' || what.startsWith('motion')) return { name: 'motion', params: { id: subject } }
  return about === 'case' || about === 'work' || about === 'concern' ? { name: 'case', params: { id: subject } } : undefined
}
