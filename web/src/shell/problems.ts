/** What to tell people of a problem: the sentence for its code, else one that names the code. */
import { Problem } from '@/api/client'
import { i18n } from '@/words'

export function sentenceOf(error: unknown): string {
  if (!(error instanceof Problem)) throw error
  return sentenceFor(error.code)
}

export function sentenceFor(code: string): string {
  const { t, te } = i18n.global
  const key = `problem.${code}`
  return te(key) ? t(key) : t('problem.other', { code })
}
