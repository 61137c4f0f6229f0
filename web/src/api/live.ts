/**
 * Live hints: the gateway says which thing changed, and whoever shows it reads it again.
 *
 * One stream per page. After a loss of the connection everything shown is read again, for hints may have been missed.
 */
import { onScopeDispose } from 'vue'
import { ask, client, Problem } from './client'

export interface Hint {
  kind: string
  id: string
  version: number | null
}
type Listener = (hint: Hint | null) => void

const listeners = new Set<Listener>()
const RETRY_MS = 5_000
const TOGETHER_MS = 300
const APART_MS = 1_000
/** A page that nobody has touched for so long renews no session: as long as a desk's may rest unused. */
const UNTOUCHED_MS = 12 * 3_600_000
let source: EventSource | null = null
let retry: ReturnType<typeof setTimeout> | undefined
let broken = false
let resting = false
let touchedAt = Date.now()

for (const kind of ['pointerdown', 'keydown'])
  addEventListener(
    kind,
    () => {
      touchedAt = Date.now()
      if (resting) void listenAgain()
    },
    { passive: true },
  )

/** Whether somebody has touched the page within the time after which it renews no session. */
export const isAttended = (): boolean => Date.now() - touchedAt <= UNTOUCHED_MS

/** Begin to listen; again after signing in. */
export function listen(): void {
  hangUp()
  source = new EventSource('/api/events')
  source.addEventListener('open', () => {
    if (broken) tell(null)
    broken = false
  })
  source.addEventListener('changed', (event) => tell(JSON.parse((event as MessageEvent<string>).data) as Hint))
  source.addEventListener('error', () => {
    broken = true
    // The browser retries a broken stream by itself, but not one that was refused.
    if (source?.readyState === EventSource.CLOSED) retry = setTimeout(() => void listenAgain(), RETRY_MS)
  })
}

/** A refused stream does not say why: most likely the access token has expired, and a question renews the session. */
async function listenAgain(): Promise<void> {
  resting = !isAttended()
  if (resting) return
  const refused = source
  let answered = true
  try {
    await ask(() => client.GET('/api/me'), { signIn: false })
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    answered = false
  }
  if (source === null || source !== refused) return // somebody hung up or began anew meanwhile
  if (answered) listen()
  else retry = setTimeout(() => void listenAgain(), RETRY_MS)
}

/** Listen no more. */
export function hangUp(): void {
  clearTimeout(retry)
  resting = false
  source?.close()
  source = null
}

function tell(hint: Hint | null): void {
  for (const listener of [...listeners]) listener(hint)
}

/**
 * Call `changed` soon after something of these kinds (`case.` means all that begin so) changed, or may have.
 * Several hints in a row are one call, and however many come, there is one call a second. Ends with the component
 * that asked.
 */
export function onChanged(kinds: readonly string[], changed: () => void): void {
  let soon: ReturnType<typeof setTimeout> | undefined
  let calledAt = -APART_MS
  const listener: Listener = (hint) => {
    if (soon !== undefined || (hint !== null && !kinds.some((kind) => hint.kind.startsWith(kind)))) return
    soon = setTimeout(
      () => {
        soon = undefined
        calledAt = performance.now()
        changed()
      },
      Math.max(TOGETHER_MS, calledAt + APART_MS - performance.now()),
    )
  }
  listeners.add(listener)
  onScopeDispose(() => {
    clearTimeout(soon)
    listeners.delete(listener)
  })
}
