/** Setting one's own sign-in name and password: the form's fields and its sending. */
import { reactive, ref, type Ref } from 'vue'
import { useActing } from '@/api/acting'
import { client, Problem } from '@/api/client'
import { signIn } from '@/api/session'
import { i18n } from '@/words'
import { sentenceOf } from './problems'

const SHORTEST = 10
const BLANK = { login: '', password: '', again: '' }

export interface SettingPassword {
  given: { login: string; password: string; again: string }
  busy: Ref<boolean>
  /** What is wrong, as a sentence; empty where nothing is. */
  fault: Ref<string>
  submit: () => Promise<void>
  /** Forget what was given. */
  blank: () => void
}

/** `done` is called, with what to tell, once both are set; one is signed in with them at once, for every session under the old ones ends. */
export function useSettingPassword(done: (words: string) => unknown): SettingPassword {
  const { t } = i18n.global
  const given = reactive({ ...BLANK })
  const fault = ref('')
  const { busy, act } = useActing()

  function wrong(): string {
    if (given.login.trim() === '') return t('signIn.loginHint')
    if (given.password.length < SHORTEST) return t('problem.password-too-weak')
    return given.password === given.again ? '' : t('password.differ')
  }
  async function submit(): Promise<void> {
    fault.value = wrong()
    if (fault.value !== '') return
    const body = { login: given.login.trim(), password: given.password }
    try {
      if ((await act(body, (header) => client.PUT('/api/me/password', { params: { header }, body }))) === null) return
    } catch (error) {
      fault.value = sentenceOf(error)
      return
    }
    const isIn = await signIn(body.login, body.password).then(
      () => true,
      (error: unknown) => {
        if (!(error instanceof Problem)) throw error
        return false // it is changed all the same, and the next question asks to sign in
      },
    )
    done(t(isIn ? 'password.changed' : 'password.done'))
  }
  function blank(): void {
    Object.assign(given, BLANK)
    fault.value = ''
  }
  return { given, busy, fault, submit, blank }
}
