/** A thing that somebody does with one press: once, however often it is pressed. */
import { ref, type Ref } from 'vue'
import { command, newId, type Schemas } from './client'

export type Send = (header: { 'Idempotency-Key': string }) => Promise<{ data?: unknown; error?: unknown; response: Response }>

export interface Acting {
  busy: Ref<boolean>
  /** What came of it; null where something was still under way, so that this was not sent. */
  act: (what: unknown, send: Send) => Promise<Schemas['Accepted'] | null>
}

/**
 * `act(what, send)` sends the command that `what` names. While it runs further presses do nothing; the same `what`
 * after a failure goes out under the same id, for its answer may merely have been lost. Throws Problem.
 */
export function useActing(): Acting {
  const busy = ref(false)
  let wanted = { key: '', id: '' }
  async function act(what: unknown, send: Send): Promise<Schemas['Accepted'] | null> {
    if (busy.value) return null
    busy.value = true
    const key = JSON.stringify(what)
    if (wanted.key !== key) wanted = { key, id: newId() }
    try {
      const found = await command(send, wanted.id)
      wanted = { key: '', id: '' }
      return found
    } finally {
      busy.value = false
    }
  }
  return { busy, act }
}
