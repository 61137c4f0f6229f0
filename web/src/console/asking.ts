/** What a list page asks for, kept in its address: a reload, the back button and a sent link show the same. */
import { computed, ref, watch, type ComputedRef, type Ref, type WritableComputedRef } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import { useReading, type Reading } from '@/api/reading'
import { dayBegins } from '@/shell/format'

export const PAGE_SIZE = 20

/** One filter in the address; choosing another begins at the first page again. */
export function useAsked(name: string): WritableComputedRef<string> {
  const route = useRoute()
  const router = useRouter()
  return computed({
    get: () => (typeof route.query[name] === 'string' ? (route.query[name] as string) : ''),
    set: (value) => {
      const { page: _, [name]: __, ...rest } = route.query
      const query = name === 'page' ? { ...rest, ...(value === '1' ? {} : { page: value }) } : { ...rest, ...(value ? { [name]: value } : {}) }
      void router.push({ query })
    },
  })
}

/** One of `among` in the address, `standard` where none of them is named. */
export function useOneOf<T extends string>(name: string, among: readonly T[], standard: T): WritableComputedRef<T> {
  const asked = useAsked(name)
  return computed({ get: () => among.find((one) => one === asked.value) ?? standard, set: (found) => (asked.value = found) })
}

/** A day (yyyy-mm-dd) in the address; what is none narrows nothing. */
export function useDay(name: string): WritableComputedRef<string> {
  const asked = useAsked(name)
  return computed({ get: () => (/^\d{4}-\d\d-\d\d$/.test(asked.value) && dayBegins(asked.value) ? asked.value : ''), set: (found) => (asked.value = found) })
}

type Filters = Record<string, string | undefined>
type Asked<Q extends Filters> = { [K in keyof Q]?: string } & { page: string; size: string }

/** A page of a list; `changing` while another was asked for than is shown. */
export interface Paging<T> extends Reading<T> {
  changing: Ref<boolean>
}

/**
 * The page of a list that the address asks for, read again whenever that changes. `filters` gives the filters by the
 * gateway's names, those that are not set empty; see `useReading` for `kinds`.
 */
export function usePage<T, Q extends Filters>(filters: () => Q, read: (query: Asked<Q>) => Promise<T>, kinds: readonly string[]): Paging<T> {
  const page = useAsked('page')
  const query: ComputedRef<Asked<Q>> = computed(() => {
    const set = Object.entries(filters()).filter(([, value]) => value)
    return { ...Object.fromEntries(set), page: page.value || '1', size: String(PAGE_SIZE) } as Asked<Q>
  })
  const reading = useReading(() => read(query.value), kinds)
  const changing = ref(false)
  let turn = 0
  async function change(): Promise<void> {
    const mine = ++turn
    changing.value = true
    try {
      await reading.reload()
    } finally {
      if (mine === turn) changing.value = false
    }
  }
  watch(query, (now, before) => {
    if (JSON.stringify(now) !== JSON.stringify(before)) void change()
  })
  return { ...reading, changing }
}
