/** Where requests wait while an expired session is renewed; who can renew it says so. */
import { ref } from 'vue'

/** Whether somebody must sign in again for requests to go on. */
export const expired = ref(false)

let waiting: { go: () => void; fail: (reason: unknown) => void }[] = []

/** Resolves once somebody has signed in again. */
export function signedInAgain(): Promise<void> {
  expired.value = true
  return new Promise((go, fail) => waiting.push({ go, fail }))
}

/** Let the waiting requests go on. */
export function open(): void {
  expired.value = false
  const gone = waiting
  waiting = []
  for (const one of gone) one.go()
}

/** Nobody signs in again: the waiting requests fail. */
export function abandon(reason: unknown): void {
  expired.value = false
  const gone = waiting
  waiting = []
  for (const one of gone) one.fail(reason)
}
