/** Signing in on a face: the form's fields and its sending, and the way on from the page where it stands. */
import { ref, type Ref } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import { signIn } from '@/api/session'
import { sentenceOf } from './problems'

export interface Signing {
  login: Ref<string>
  password: Ref<string>
  busy: Ref<boolean>
  /** What is wrong, as a sentence; empty where nothing is. */
  fault: Ref<string>
  /** As a person or as an operator 运维人员; `done` is called once somebody is signed in. */
  submit: (operator?: boolean) => Promise<void>
}

export function useSigning(done: () => void): Signing {
  const login = ref('')
  const password = ref('')
  const busy = ref(false)
  const fault = ref('')
  async function submit(operator = false): Promise<void> {
    if (busy.value) return
    busy.value = true
    fault.value = ''
    try {
      await signIn(login.value.trim(), password.value, operator)
      done()
    } catch (error) {
      fault.value = sentenceOf(error)
    } finally {
      busy.value = false
    }
  }
  return { login, password, busy, fault, submit }
}

/** Goes on to where somebody was when they were asked to sign in. */
export function useWayOn(): () => void {
  const route = useRoute()
  const router = useRouter()
  return () => {
    const to = route.query.to
    // Only a path of ours: an address of another site could stand there, too.
    void router.replace(typeof to === 'string' && to.startsWith('/') && !to.startsWith('//') ? to + route.hash : '/')
  }
}
