/** A text that staff write for a service to judge and to try, as a rubric: kept in this browser until it is adopted or thrown away. */
import { computed, ref, shallowRef, watch, type Ref, type ShallowRef, type WatchSource } from 'vue'
import { me } from '@/api/session'
import { city } from '@/shell/surroundings'
import type { Flaw } from './flaws'
import { agreed, tellProblem } from './telling'

export interface Judged {
  flaws: readonly Flaw[]
}
export interface Draft<J extends Judged, F = unknown> {
  text: Ref<string>
  /** What the service says of the text as it is; null before it was asked. */
  checked: ShallowRef<J | null>
  /** What trying it found; null where the text, or what it was tried on, is another since. */
  found: ShallowRef<F | null>
  working: Ref<Work | null>
  /** Begin anew from a text that need not be kept. */
  begin: (from: string) => void
  /** Begin from a text where nothing is kept. */
  offer: (from: string) => void
  throwAway: (from: string) => Promise<void>
  /** Let it be checked, and without flaws tried or `then` adopted; what goes wrong is said. */
  work: (what: Work, then?: (judged: J) => void) => Promise<void>
}
type Work = 'check' | 'try' | 'adopt'

/** Whether who is signed in may adopt what was drafted: the city's staff may. */
export const adopts = computed(() => me.value?.roles.includes('staff') === true && city.value.code.startsWith(me.value.organisation ?? ''))

interface Ways<J, F> {
  /** The name under which this browser keeps it. */
  kept: string
  /** What is asked before it is thrown away, and the button that says yes. */
  question: () => [string, string]
  judge: (text: string) => Promise<J>
  attempt: (judged: J) => Promise<F>
  /** What a trial is about besides the text. */
  about: WatchSource[]
}

export function useDraft<J extends Judged, F>({ kept, question, judge, attempt, about }: Ways<J, F>): Draft<J, F> {
  const text = ref(localStorage.getItem(kept) ?? '')
  const checked = shallowRef(null) as ShallowRef<J | null>
  const found = shallowRef<F | null>(null)
  const working = ref<Work | null>(null)
  let fresh = ''
  let trial = 0

  watch(text, (now) => {
    if (now === fresh) localStorage.removeItem(kept)
    else localStorage.setItem(kept, now)
    checked.value = null
  })
  watch([text, ...about], () => {
    trial++
    found.value = null
  })
  function begin(from: string): void {
    fresh = from
    text.value = from
  }
  async function work(what: Work, then?: (judged: J) => void): Promise<void> {
    if (working.value !== null) return
    working.value = what
    try {
      const asked = text.value
      const judged = await judge(asked)
      if (asked !== text.value) return
      checked.value = judged
      if (judged.flaws.length > 0) return
      then?.(judged)
      if (what !== 'try') return
      found.value = null
      const mine = trial
      const said = await attempt(judged)
      if (mine === trial) found.value = said
    } catch (error) {
      tellProblem(error)
    } finally {
      working.value = null
    }
  }
  return {
    text,
    checked,
    found,
    working,
    begin,
    offer(from) {
      if (text.value === '') begin(from)
      else if (fresh === '') fresh = from
    },
    async throwAway(from) {
      if (text.value === fresh || (await agreed(...question()))) begin(from)
    },
    work,
  }
}
