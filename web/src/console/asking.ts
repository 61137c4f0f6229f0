/** What a list page asks for, kept in its address: a reload, the back button and a sent link show the same. */
import { computed, type WritableComputedRef } from 'vue'
import { useRoute, useRouter } from 'vue-router'

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
