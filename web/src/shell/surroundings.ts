/** The city's divisions, its departments and the time, as the gateway knows them; kept for when it is away. */
import { computed, ref, shallowRef } from 'vue'
import { ask, client, type Schemas } from '@/api/client'

type Place = Schemas['Place']
interface Known {
  city: Place
  departments: Schemas['Department'][]
}

const KEPT = 'daibiaotong.surroundings'

export const city = shallowRef<Place>({ code: '', name: '', children: [] })
export const departments = shallowRef<Schemas['Department'][]>([])
/** How far the suite's time is ahead of this device's, in milliseconds; the wall's own error counts as none. */
export const ahead = ref(0)
export const simulated = ref(false)

export const categories = computed(() => [...new Set(departments.value.flatMap((one) => one.categories))])
const names = computed(() => {
  const found = new Map<string, string>()
  const walk = (place: Place): void => {
    found.set(place.code, place.name)
    place.children?.forEach(walk)
  }
  walk(city.value)
  return found
})
const titles = computed(() => new Map(departments.value.map((one) => [one.code, one.name])))

export const placeName = (code: string | null | undefined): string => (code ? (names.value.get(code) ?? code) : '')
export const departmentName = (code: string | null | undefined): string => (code ? (titles.value.get(code) ?? code) : '')
export const now = (): Date => new Date(Date.now() + ahead.value)

/** Read it all; without a connection what was known before. */
export async function learn(): Promise<void> {
  const kept = localStorage.getItem(KEPT)
  if (kept !== null) ({ city: city.value, departments: departments.value } = JSON.parse(kept) as Known)
  const around = await ask(() => client.GET('/api/surroundings'))
  city.value = around.city
  simulated.value = around.simulated
  ahead.value = around.simulated ? Date.parse(around.now) - Date.now() : 0
  const found = await ask(() => client.GET('/api/departments', { params: { query: { size: '500' } } }))
  departments.value = found.items
  localStorage.setItem(KEPT, JSON.stringify({ city: city.value, departments: found.items } satisfies Known))
}
