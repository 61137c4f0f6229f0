/** Tell people in a few words what came of what they did. */
import { showConfirmDialog, showFailToast, showSuccessToast } from 'vant'
import { i18n } from '@/words'
import { doing } from '@/shell/doing'
import { sentenceOf } from '@/shell/problems'

export const tellDone = (words: string): unknown => showSuccessToast(words)

/** Say what went wrong. Throws what is no Problem. */
export const tellProblem = (error: unknown): unknown => showFailToast({ message: sentenceOf(error), wordBreak: 'break-word' })

export const useDoing = doing(tellDone, tellProblem)

/** Whether somebody agrees. */
export function agreed(message: string, yes: string): Promise<boolean> {
  const { t } = i18n.global
  return showConfirmDialog({ message, confirmButtonText: yes, cancelButtonText: t('app.cancel') }).then(
    () => true,
    () => false,
  )
}
