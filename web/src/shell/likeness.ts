/** How sure it is that two cases are about the same, in words. */
import { i18n } from '@/words'

/** Words alone are seldom quite alike: from a half on people say the same, in another order. */
export const likeness = (score: number): string =>
  i18n.global.t(score >= 0.5 ? 'similar.likely' : score >= 0.25 ? 'similar.perhaps' : 'similar.somewhat')
