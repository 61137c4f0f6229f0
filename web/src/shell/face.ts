/** What every face does around its pages: it keeps in step with who is signed in, and knows whether it is connected. */
import { ref, watch, watchEffect, type Ref } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import { Problem } from '@/api/client'
import { hangUp, listen } from '@/api/live'
import { me } from '@/api/session'
import { abandon } from '@/api/session-gate'
import { i18n } from '@/words'
import { learn } from './surroundings'

export interface Face {
  online: Ref<boolean>
  /** Do not sign in again where the session has expired: what waited for it fails. */
  giveUp: () => void
}

/** For the root of a face, which is never taken down; `title` is the word that names the face. */
export function useFace(title: 'app.name' | 'desk.title'): Face {
  const route = useRoute()
  const router = useRouter()
  const online = ref(navigator.onLine)
  watchEffect(() => {
    document.title = i18n.global.t(title)
  })
  for (const kind of ['online', 'offline']) window.addEventListener(kind, () => (online.value = navigator.onLine))
  watch(
    () => me.value?.person,
    (person) => {
      if (person === undefined) {
        hangUp()
        return
      }
      listen()
      learn().catch((error: unknown) => {
        if (!(error instanceof Problem)) throw error // without them codes are shown instead of names
      })
    },
    { immediate: true },
  )
  return {
    online,
    giveUp: () => {
      abandon(new Problem(401, 'not-signed-in', ''))
      void router.replace({ name: 'sign-in', query: { to: route.fullPath } })
    },
  }
}
