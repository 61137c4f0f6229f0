/** Tell people in a few words what came of what they did. */
import { ElMessage, ElMessageBox } from 'element-plus'
import { i18n } from '@/words'
import { doing } from '@/shell/doing'
import { sentenceOf } from '@/shell/problems'

export const tellDone = (words: string): unknown => ElMessage({ type: 'success', message: words })

/** Say why something was not done that nothing went wrong with. */
export const tellWhy = (words: string): unknown => ElMessage({ type: 'warning', message: words })

/** Say what went wrong. Throws what is no Problem. */
export const tellProblem = (error: unknown): unknown => ElMessage({ type: 'error', message: sentenceOf(error), duration: 6000 })

export const useDoing = doing(tellDone, tellProblem)

/** Whether somebody agrees; the box rejects when they do not. */
export function agreed(message: string, yes: string): Promise<boolean> {
  const { t } = i18n.global
  return ElMessageBox.confirm(message, yes, { confirmButtonText: yes, cancelButtonText: t('app.cancel') }).then(
    () => true,
    () => false,
  )
}
