/**
 * Signing in and out. The tokens are in cookies that no script can read; here are only the name and roles.
 */
import { computed } from 'vue'
import { ask, client, Problem } from './client'
import { forget, me, recollect, remember } from './known'
import { alone, turned } from './renewal'
import { abandon, expired, open } from './session-gate'

export const isDeputy = computed(() => me.value?.roles.includes('deputy') ?? false)
export { expired, me }

/** Find out who is signed in; without a connection whoever was. */
export async function recall(): Promise<void> {
  if (recollect() === null) return
  try {
    remember(await ask(() => client.GET('/api/me'), { signIn: false }))
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    if (error.status === 401) forget()
  }
}

/** Sign in, as a person or as an operator 运维人员. Throws Problem. */
export async function signIn(login: string, password: string, operator = false): Promise<void> {
  const before = me.value?.person
  let said
  try {
    said = await alone(async () => {
      const found = await client.POST('/api/session', { body: { login, password, operator } })
      if (found.data !== undefined) {
        remember(found.data) // before the turn: who waits for it looks at who is signed in
        turned()
      }
      return found
    })
  } catch {
    throw new Problem(0, 'offline', 'The network cannot be reached.')
  }
  if (said.data === undefined) {
    const { code, detail } = said.error ?? { code: 'http-error', detail: '' }
    throw new Problem(said.response.status, code, detail)
  }
  const changed = before !== undefined && before !== said.data.person
  // Requests of somebody else must not go on in this person's name.
  if (changed) abandon(new Problem(401, 'signed-in-as-another', 'Somebody else signed in.'))
  else open()
}

/** Sign out, here and on the device. Throws Problem when the session could not be ended. */
export async function signOut(): Promise<void> {
  await ask(() => alone(() => client.DELETE('/api/session')))
  forget()
}
