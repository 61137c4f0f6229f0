/** What a page reads, with the state it is in: loading, ready, refused with a reason, or what else went wrong. */
import { onScopeDispose, ref, shallowRef, type Ref, type ShallowRef } from 'vue'
import { Problem } from './client'
import { onChanged } from './live'

export type Stage = 'loading' | 'ready' | 'offline' | 'forbidden' | 'missing' | 'refused' | 'failed'

export interface Reading<T> {
  stage: Ref<Stage>
  data: ShallowRef<T | null>
  /** Whether what is shown may be old: a later reading failed. */
  stale: Ref<boolean>
  /** What the last reading failed of. */
  problem: ShallowRef<Problem | null>
  reload: () => Promise<void>
}

export function stageOf(error: unknown): Stage {
  if (!(error instanceof Problem)) return 'failed'
  if (error.offline) return 'offline'
  if (error.status === 403) return 'forbidden'
  if (error.status === 404) return 'missing'
  return error.status >= 400 && error.status < 500 && error.status !== 401 ? 'refused' : 'failed'
}

/** Whether what was read before still answers the question: the same one may be answered later. */
const goesOnShowing = (stage: Stage, error: unknown): boolean =>
  stage === 'offline' || stage === 'failed' || (error instanceof Problem && error.status === 429)

/**
 * Read now, again when the connection comes back, and whenever one of `kinds` changed. What is shown stays while
 * it is read again; of two readings that overlap the later one counts.
 */
export function useReading<T>(read: () => Promise<T>, kinds: readonly string[] = []): Reading<T> {
  const stage = ref<Stage>('loading')
  const data = shallowRef<T | null>(null)
  const stale = ref(false)
  const problem = shallowRef<Problem | null>(null)
  let turn = 0

  async function reload(): Promise<void> {
    const mine = ++turn
    try {
      const found = await read()
      if (mine !== turn) return
      data.value = found
      stage.value = 'ready'
      stale.value = false
      problem.value = null
    } catch (error) {
      if (mine !== turn) return
      const found = stageOf(error)
      problem.value = error instanceof Problem ? error : null
      if (data.value !== null && goesOnShowing(found, error)) stale.value = true
      else stage.value = found
      if (!(error instanceof Problem)) throw error
    }
  }
  const back = () => void reload()
  window.addEventListener('online', back)
  onScopeDispose(() => window.removeEventListener('online', back))
  if (kinds.length > 0) onChanged(kinds, back)
  void reload()
  return { stage, data, stale, problem, reload }
}
