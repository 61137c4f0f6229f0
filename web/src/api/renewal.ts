/**
 * Going on with a session 登录会话 whose access token has expired, without anybody noticing.
 *
 * Invariants: one renewal at a time in all tabs, and whoever waited for one takes what it brought; a session that
 * was refused is not asked for again; of a session that somebody else began meanwhile nothing is taken.
 */
import { me, remember, stillMine, type Me } from './known'

const TURN = 'daibiaotong.turn'
const PATIENCE_MS = 15_000

let last: Promise<unknown> = Promise.resolve()
let refused: string | null | undefined

/** A word, told to all tabs, that is another one after each sign-in and renewal; it says nothing else. */
export const turn = (): string | null => localStorage.getItem(TURN)

export function turned(): void {
  localStorage.setItem(TURN, Math.random().toString(36).slice(2))
}

/** Do what changes the session's cookies: nothing else changes them meanwhile, as far as the browser lets us say so. */
export function alone<T>(work: () => Promise<T>): Promise<T> {
  if ('locks' in navigator) return navigator.locks.request('daibiaotong-session', work) as Promise<T>
  const mine = last.then(work, work) // in this tab at least; identity bears two tabs at once
  last = mine.catch(() => undefined)
  return mine
}

/**
 * Renew the session unless that was done since `before`, the turn at which a request was refused. Whether the
 * request may be sent again, or the answer that says why that is not known now; throws as fetch does.
 */
export function renewed(before: string | null): Promise<boolean | Response> {
  return alone(async () => {
    const now = turn()
    if (now !== before) return stillMine()
    if (now === refused) return false
    const response = await asked()
    if (response.status === 401) refused = now
    if (!response.ok) return response.status === 401 ? false : response
    const who = (await response.json()) as Me
    if (me.value !== null && (me.value.person !== who.person || !stillMine())) return false
    turned()
    remember(who)
    return true
  })
}

async function asked(): Promise<Response> {
  const ending = new AbortController()
  const late = setTimeout(() => ending.abort(), PATIENCE_MS)
  try {
    return await fetch('/api/session/renewal', { method: 'POST', signal: ending.signal })
  } finally {
    clearTimeout(late)
  }
}
