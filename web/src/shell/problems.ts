/** What to tell people of a problem: the sentence for its code, else one that names the code. */
import { Problem } from '@/api/client'
import { i18n } from '@/words'

export function sentenceOf(error: unknown): string {
  const { t, te } = i18n.global
  if (!(error instanceof Problem)) throw error
  const key = `problem.${error.code}`
  return te(key) ? t(key) : t('problem.other', { code: error.code })
}
