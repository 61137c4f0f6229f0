/** A list that is read page by page and stays whole when it is read again. */
import { ref } from 'vue'
import { useReading, type Reading } from './reading'

export interface Listed<T> {
  items: T[]
  total: number
}
export interface Listing<T> extends Reading<Listed<T>> {
  more: () => Promise<void>
  /** Begin anew at the first page, as after another filter was chosen. */
  anew: () => Promise<void>
}

const SIZE = 20

/** Read with `read`, which gets the number and size of a page as texts; see `useReading` for `kinds`. */
export function useListing<T>(
  read: (page: { page: string; size: string }) => Promise<Listed<T>>,
  kinds: readonly string[] = [],
): Listing<T> {
  const pages = ref(1)
  const reading = useReading<Listed<T>>(async () => {
    const asked = Array.from({ length: pages.value }, (_, n) => read({ page: String(n + 1), size: String(SIZE) }))
    const found = await Promise.all(asked)
    // A thing that moved to another page meanwhile must not stand there twice.
    const items = new Map(found.flatMap((one) => one.items).map((one) => [(one as { id?: string }).id ?? one, one]))
    return { items: [...items.values()], total: found[0]?.total ?? 0 }
  }, kinds)
  return {
    ...reading,
    more: () => {
      pages.value += 1
      return reading.reload()
    },
    anew: () => {
      pages.value = 1
      reading.data.value = null
      reading.stage.value = 'loading'
      return reading.reload()
    },
  }
}
