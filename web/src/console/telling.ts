/** Tell people in a few words what came of what they did. */
import { ElMessage } from 'element-plus'
import { doing } from '@/shell/doing'
import { sentenceOf } from '@/shell/problems'

export const tellDone = (words: string): unknown => ElMessage({ type: 'success', message: words })

/** Say why something was not done that nothing went wrong with. */
export const tellWhy = (words: string): unknown => ElMessage({ type: 'warning', message: words })

/** Say what went wrong. Throws what is no Problem. */
export const tellProblem = (error: unknown): unknown => ElMessage({ type: 'error', message: sentenceOf(error), duration: 6000 })

export const useDoing = doing(tellDone, tellProblem)
