/** All words of the pages, Chinese first; English proves that they are in one place. */
import { createI18n } from 'vue-i18n'
import zh from './zh.json'

export type Locale = 'zh' | 'en'
type Words = typeof zh

declare module 'vue-i18n' {
  // eslint-disable-next-line @typescript-eslint/no-empty-object-type
  export interface DefineLocaleMessage extends Words {}
}

const KEPT = 'daibiaotong.locale'

export const i18n = createI18n<[Words], 'zh', false>({
  legacy: false,
  locale: 'zh',
  fallbackLocale: 'zh',
  messages: { zh },
})

export async function use(locale: Locale): Promise<void> {
  if (locale === 'en') {
    const { default: en } = await import('./en.json')
    i18n.global.setLocaleMessage('en' as 'zh', en)
  }
  i18n.global.locale.value = locale as 'zh'
  document.documentElement.lang = locale === 'zh' ? 'zh-CN' : 'en'
  localStorage.setItem(KEPT, locale)
}

export const kept = (): Locale => (localStorage.getItem(KEPT) === 'en' ? 'en' : 'zh')
