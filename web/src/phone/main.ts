import 'vant/lib/index.css'
import './looks.css'
import { Locale } from 'vant'
import { createApp, watch } from 'vue'
import { recall } from '@/api/session'
import { settle } from '@/shell/surroundings'
import { i18n, kept, use } from '@/words'
import App from './App.vue'
import './large'
import { router } from './router'

/** Vant has words of its own, Chinese ones unless told otherwise. */
async function followWords(locale: string): Promise<void> {
  if (locale === 'en') Locale.use('en-US', (await import('vant/es/locale/lang/en-US')).default)
  else Locale.use('zh-CN')
}
watch(i18n.global.locale, (locale) => void followWords(locale))

async function begin(): Promise<void> {
  await Promise.all([use(kept()), recall(), settle()])
  createApp(App).use(i18n).use(router).mount('#app')
}
void begin()
