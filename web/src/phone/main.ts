import 'vant/lib/index.css'
import './looks.css'
import { createApp } from 'vue'
import { recall } from '@/api/session'
import { settle } from '@/shell/surroundings'
import { i18n, kept, use } from '@/words'
import App from './App.vue'
import './large'
import { router } from './router'

async function begin(): Promise<void> {
  await Promise.all([use(kept()), recall(), settle()])
  createApp(App).use(i18n).use(router).mount('#app')
}
void begin()
