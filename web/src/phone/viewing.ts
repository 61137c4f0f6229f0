/** Which view of a list its page shows, kept in its address: who comes back sees the same. */
import { computed, type WritableComputedRef } from 'vue'
import { useRoute, useRouter } from 'vue-router'

/** One of `among` under the name in the address; the first where none is named. */
export function useView<T extends string>(name: string, among: readonly [T, ...T[]]): WritableComputedRef<T> {
  const route = useRoute()
  const router = useRouter()
  return computed({
    get: () => among.find((one) => one === route.query[name]) ?? among[0],
    set: (found) => void router.replace({ query: { ...route.query, [name]: found === among[0] ? undefined : found } }),
  })
}
