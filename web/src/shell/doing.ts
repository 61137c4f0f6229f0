/** What somebody does on a page with one press: done once, and what came of it told in a few words. */
import { useActing, type Acting, type Send } from '@/api/acting'

export interface Doing extends Acting {
  /** Send the command that `what` names (see `useActing`), say `words` and go on, or say what went wrong. Whether it was done. */
  does: (what: unknown, send: Send, words: string) => Promise<boolean>
}

/** `useDoing` of a face, by the way in which it tells people; `then` is what follows on what was done. */
export function doing(tellDone: (words: string) => unknown, tellProblem: (error: unknown) => unknown): (then?: () => Promise<unknown>) => Doing {
  return (then) => {
    const acting = useActing()
    async function does(what: unknown, send: Send, words: string): Promise<boolean> {
      try {
        if ((await acting.act(what, send)) === null) return false
        tellDone(words)
        await then?.()
        return true
      } catch (error) {
        tellProblem(error)
        return false
      }
    }
    return { ...acting, does }
  }
}
