/** Which view of a list its page shows, kept in its address: who comes back sees the same. */
import { computed, toValue, type MaybeRefOrGetter, type WritableComputedRef } from 'vue'
import { useRoute, useRouter } from 'vue-router'

/** One of `among` under the name in the address; the first where none is named. */
export function useView<T extends string>(name: string, among: MaybeRefOrGetter<readonly [T, ...T[]]>): WritableComputedRef<T> {
  const route = useRoute()
  const router = useRouter()
  return computed({
    get: () => toValue(among).find((one) => one === route.query[name]) ?? toValue(among)[0],
    set: (found) => void router.replace({ query: { ...route.query, [name]: found === toValue(among)[0] ? undefined : found } }),
  })
}
