/**
 * Who is signed in. The token is in a cookie that no script can read; here are only the name and roles.
 *
 * What was known at the last visit is kept on the device, so that the pages open without a connection.
 */
import { computed, ref } from 'vue'
import { ask, client, Problem, type Schemas } from './client'
import { abandon, expired, open } from './session-gate'

export type Me = Schemas['Me']

const KEPT = 'daibiaotong.me'

export const me = ref<Me | null>(null)
export const isDeputy = computed(() => me.value?.roles.includes('deputy') ?? false)
export { expired }

/** Find out who is signed in; without a connection whoever was. */
export async function recall(): Promise<void> {
  const kept = localStorage.getItem(KEPT)
  if (kept === null) return
  me.value = JSON.parse(kept) as Me
  try {
    const { data, response } = await client.GET('/api/me')
    if (data !== undefined) remember(data)
    else if (response.status === 401) forget()
  } catch (error) {
    if (!(error instanceof TypeError)) throw error // a TypeError is a fault of the network
  }
}

/** Sign in, as a person or as an operator 运维人员. Throws Problem. */
export async function signIn(login: string, password: string, operator = false): Promise<void> {
  const before = me.value?.person
  let said
  try {
    said = await client.POST('/api/session', { body: { login, password, operator } })
  } catch {
    throw new Problem(0, 'offline', 'The network cannot be reached.')
  }
  if (said.data === undefined) {
    const { code, detail } = said.error ?? { code: 'http-error', detail: '' }
    throw new Problem(said.response.status, code, detail)
  }
  const changed = before !== undefined && before !== said.data.person
  remember(said.data)
  // Requests of somebody else must not go on in this person's name.
  if (changed) abandon(new Problem(401, 'signed-in-as-another', 'Somebody else signed in.'))
  else open()
}

/** Sign out, here and on the device. Throws Problem when the gateway cannot be asked to drop the cookie. */
export async function signOut(): Promise<void> {
  await ask(() => client.DELETE('/api/session'))
  forget()
}

function remember(who: Me): void {
  me.value = who
  localStorage.setItem(KEPT, JSON.stringify(who))
}

function forget(): void {
  me.value = null
  localStorage.removeItem(KEPT)
}
