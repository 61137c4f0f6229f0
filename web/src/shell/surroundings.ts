/** The city's divisions, its departments and the time, as the gateway knows them; kept for when it is away. */
import { computed, ref, shallowRef } from 'vue'
import { ask, client, Problem, type Schemas } from '@/api/client'

type Place = Schemas['Place']
interface Known {
  city: Place
  departments: Schemas['Department'][]
  ahead: number
  simulated: boolean
}

const KEPT = 'daibiaotong.surroundings'
/** How long a page waits for the time, in milliseconds; without a connection that is none. */
const PATIENCE_MS = 1_500

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

/** What was known before; it counts until `learn` has read what is. */
function recollect(): void {
  const found = localStorage.getItem(KEPT)
  if (found === null) return
  let kept: Partial<Known>
  try {
    kept = JSON.parse(found) as Partial<Known>
  } catch {
    return // unreadable: it will be read anew
  }
  city.value = kept.city ?? city.value
  departments.value = kept.departments ?? departments.value
  ahead.value = kept.ahead ?? 0
  simulated.value = kept.simulated ?? false
}

function keep(): void {
  const known: Known = { city: city.value, departments: departments.value, ahead: ahead.value, simulated: simulated.value }
  try {
    localStorage.setItem(KEPT, JSON.stringify(known))
  } catch {
    // no room: it is read again next time
  }
}

/** Read the city and the time, which anybody may. Throws Problem. */
async function learnTime(): Promise<void> {
  const around = await ask(() => client.GET('/api/surroundings'))
  city.value = around.city
  simulated.value = around.simulated
  ahead.value = around.simulated ? Date.parse(around.now) - Date.now() : 0
  keep()
}

let settling: Promise<void> | undefined

/** Know the time before a page asks for this year or today: what was known before, and soon what is. */
export async function settle(): Promise<void> {
  recollect()
  settling = learnTime()
  const told = settling.catch((error: unknown) => {
    if (!(error instanceof Problem)) throw error
  })
  await Promise.race([told, new Promise((resume) => setTimeout(resume, PATIENCE_MS))])
}

/** Read it all, for who is signed in. Throws Problem; then what was known before counts. */
export async function learn(): Promise<void> {
  const time = settling ?? learnTime() // a page's first question is asked once
  settling = undefined
  await time
  const found = await ask(() => client.GET('/api/departments', { params: { query: { size: '500' } } }))
  departments.value = found.items
  keep()
}
