/** Who is signed in, as last heard, kept on the device so that the pages open without a connection. */
import { ref } from 'vue'
import type { components } from './schema'

export type Me = components['schemas']['Me']

const KEPT = 'daibiaotong.me'

export const me = ref<Me | null>(null)

function kept(): Me | null {
  const found = localStorage.getItem(KEPT)
  return found === null ? null : (JSON.parse(found) as Me)
}

/** Who was signed in at the last visit, if anybody. */
export function recollect(): Me | null {
  me.value = kept()
  return me.value
}

/** Whether nobody signed out or in as somebody else, in another tab, since this page knows whose it is. */
export const stillMine = (): boolean => me.value?.person === kept()?.person

export function remember(who: Me): void {
  me.value = who
  localStorage.setItem(KEPT, JSON.stringify(who))
}

export function forget(): void {
  me.value = null
  localStorage.removeItem(KEPT)
}
