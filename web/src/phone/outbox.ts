/**
 * Cases that are being written or wait to be sent, with their photos, kept on the phone (IndexedDB).
 *
 * Invariants: a case has its id from the first letter on, and is always sent under it, so that it is filed once
 * however often it is sent; its photos are uploaded first, and named by it; only its own writer sees and sends it;
 * one tab sends at a time; nothing is removed before the gateway has said that it was taken.
 */
import { openDB, type DBSchema, type IDBPDatabase } from 'idb'
import { computed, ref, toRaw } from 'vue'
import { ask, client, command, newId, Problem, type Schemas } from '@/api/client'
import { expired, me } from '@/api/session'
import { upload, type Photo } from '@/shell/attachments'
import type { Position } from '@/shell/position'

export interface Filing {
  title: string
  text: string
  contact: string
  county: string
  town: string
  category: string
  origin: 'own' | 'resident'
  /** A draft of an earlier version has none. */
  position?: Position | null
}

export interface Draft {
  id: string
  person: string
  filing: Filing
  /** `draft`: being written; `waiting`: to be sent; `refused`: the gateway said no, see `problem`. */
  state: 'draft' | 'waiting' | 'refused'
  problem?: { code: string; detail: string }
  changedAt: number
}

/** What a motion's form holds, kept until its author saves it as a draft of the suite. */
export interface MotionWords {
  kind: Schemas['Motion']['kind']
  title: string
  text: string
  cause: string
  basis: string
  plan: string
  /** What an earlier version kept has none. */
  secret?: boolean
}

interface Schema extends DBSchema {
  drafts: { key: string; value: Draft; indexes: { person: string } }
  /** Apart from the drafts, which are written at every pause in typing. */
  photos: { key: string; value: Photo & { draft: string }; indexes: { draft: string } }
  /** By writer and motion; a new one is `new`, or `from/` and the case that it grows out of. `id`: under which it is sent. */
  motions: { key: string; value: { id: string; words: MotionWords } }
}

let opened: Promise<IDBPDatabase<Schema>> | undefined
const database = (): Promise<IDBPDatabase<Schema>> =>
  (opened ??= openDB<Schema>('daibiaotong', 3, {
    // A later version, open in another tab, must not wait for this one.
    blocking: (_current, _blocked, event) => {
      ;(event.target as IDBDatabase).close()
      opened = undefined
    },
    upgrade: (db, from) => {
      if (from < 1) db.createObjectStore('drafts', { keyPath: 'id' }).createIndex('person', 'person')
      if (from < 2) db.createObjectStore('photos', { keyPath: 'id' }).createIndex('draft', 'draft')
      db.createObjectStore('motions')
    },
  }).catch((error: unknown) => {
    opened = undefined // asked again next time
    throw error
  }))

export const drafts = ref<Draft[]>([])
export const waiting = computed(() => drafts.value.filter((draft) => draft.state === 'waiting'))
const tabs = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('daibiaotong-outbox')
tabs?.addEventListener('message', () => void load())

/** Read what is kept for who is signed in, the newest first. */
export async function load(): Promise<void> {
  const person = me.value?.person
  const found = person === undefined ? [] : await (await database()).getAllFromIndex('drafts', 'person', person)
  drafts.value = found.sort((a, b) => b.changedAt - a.changedAt)
}

async function changed(): Promise<void> {
  await load()
  tabs?.postMessage('changed')
}

export function emptyFiling(): Filing {
  return { title: '', text: '', contact: '', county: '', town: '', category: '', origin: 'own', position: null }
}

export const newDraftId = newId

export async function find(id: string): Promise<Draft | undefined> {
  const found = await (await database()).get('drafts', id)
  return found?.person === me.value?.person ? found : undefined
}

/**
 * Keep what was written; whether it was kept. Without a `state` what waits goes on waiting, and what was refused is a
 * draft again. What was `there` before and is no more was sent or discarded meanwhile, and does not come back.
 */
export async function keep(id: string, filing: Filing, { there, state }: { there: boolean; state?: Draft['state'] }): Promise<boolean> {
  const person = me.value?.person
  if (person === undefined) return false
  const work = (await database()).transaction('drafts', 'readwrite')
  const before = await work.store.get(id)
  const kept = before === undefined ? !there : before.person === person
  const plain = { ...toRaw(filing), position: toRaw(filing.position) ?? null } // IndexedDB keeps no proxies
  if (kept) await work.store.put({ id, person, filing: plain, state: state ?? (before?.state === 'waiting' ? 'waiting' : 'draft'), changedAt: Date.now() })
  await work.done
  await changed()
  return kept
}

export async function discard(id: string): Promise<void> {
  const work = (await database()).transaction(['drafts', 'photos'], 'readwrite')
  const photos = work.objectStore('photos')
  const before = await work.objectStore('drafts').get(id)
  if (before !== undefined && before.person !== me.value?.person) return // another's
  await work.objectStore('drafts').delete(id)
  for (const photo of await photos.index('draft').getAllKeys(id)) await photos.delete(photo)
  await work.done
  await changed()
}

/** A draft's photos in the order in which they were added. */
export async function photosOf(draft: string): Promise<Photo[]> {
  // Ids begin with the time at which they were made.
  return (await (await database()).getAllFromIndex('photos', 'draft', draft)).sort((a, b) => (a.id < b.id ? -1 : 1))
}

export async function keepPhoto(draft: string, photo: Photo): Promise<void> {
  await (await database()).put('photos', { ...photo, draft })
}

export async function removePhoto(id: string): Promise<void> {
  await (await database()).delete('photos', id)
}

/** Upload what is not there yet; all digests. Throws Problem. */
async function uploaded(draft: string): Promise<string[]> {
  const digests: string[] = []
  for (const photo of await photosOf(draft)) {
    const digest = photo.digest ?? (await upload(photo, { signIn: false }))
    if (photo.digest === undefined) await keepPhoto(draft, { ...photo, digest })
    digests.push(digest)
  }
  return digests
}

async function uploadAgain(draft: string): Promise<void> {
  for (const { id, blob } of await photosOf(draft)) await keepPhoto(draft, { id, blob })
}

function bodyOf({ id, filing }: Draft, photos: string[]): Schemas['CaseFiling'] {
  const { title, text, county, origin } = filing
  const some = (value: string): string | null => (value === '' ? null : value)
  return {
    id,
    title,
    text,
    county,
    origin,
    photos,
    position: filing.position ?? null,
    contact: some(filing.contact),
    town: some(filing.town),
    category: some(filing.category),
  }
}

/** It was taken: remove it. What was written to it while it was being sent stays, as a draft of its own. */
async function taken(sent: Draft): Promise<void> {
  const store = await database()
  const kept = await store.get('drafts', sent.id)
  const later = kept !== undefined && JSON.stringify(kept.filing) !== JSON.stringify(sent.filing)
  if (later) await store.put('drafts', { ...kept, id: newId(), state: 'draft' })
  await discard(sent.id)
}

/** Whether a case is there under this id, for who is signed in. */
async function isFiled(id: string): Promise<boolean> {
  try {
    await ask(() => client.GET('/api/cases/{id}', { params: { path: { id } } }), { signIn: false })
    return true
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    return false
  }
}

/** Note why a draft was refused, beside what was written to it while it was being sent. */
async function refuse(id: string, problem: Draft['problem']): Promise<void> {
  const work = (await database()).transaction('drafts', 'readwrite')
  const kept = await work.store.get(id)
  if (kept !== undefined) await work.store.put({ ...kept, state: 'refused', problem })
  await work.done
  await changed()
}

/** What came of sending one draft. */
type Sent = 'sent' | 'refused' | 'later'

async function sendOne(draft: Draft, again = false): Promise<Sent> {
  try {
    const body = bodyOf(draft, await uploaded(draft.id))
    await command((headers) => client.POST('/api/cases', { params: { header: headers }, body }), draft.id, { signIn: false })
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    if (error.code === 'photo-unknown' && !again) {
      await uploadAgain(draft.id) // it waited for more than a day, and the gateway has put its photos away
      return sendOne(draft, true)
    }
    // Another tab, or an earlier try whose answer was lost, perhaps with other words.
    if (error.code === 'case-exists' || (error.code === 'command-id-reused' && (await isFiled(draft.id)))) {
      await taken(draft)
      return 'sent'
    }
    if (error.status === 401) expired.value = true
    if (error.status < 400 || error.status === 401 || error.status === 429 || error.status >= 500) return 'later'
    await refuse(draft.id, { code: error.code, detail: error.detail })
    return 'refused'
  }
  await taken(draft)
  return 'sent'
}

/** Send everything that waits, one after the other and in one tab only; what could not be sent waits on. */
export async function send(): Promise<void> {
  const work = async (): Promise<void> => {
    await load()
    for (const { id } of [...waiting.value].reverse()) {
      const draft = await find(id) // it may have been changed or discarded while another was on its way
      if (draft?.state === 'waiting' && (await sendOne(draft)) === 'later') break
    }
  }
  if ('locks' in navigator) await navigator.locks.request('daibiaotong-outbox', work)
  else await work()
}

const AGAIN_MS = 20_000

/** Send what waits now, when the connection comes back, and every few seconds while something waits. */
export function keepSending(): void {
  const go = (): void => {
    if (me.value !== null && !expired.value && waiting.value.length > 0) void send()
  }
  window.addEventListener('online', go)
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && go())
  setInterval(go, AGAIN_MS)
  void load().then(go)
}

const keyOf = (motion?: string): string => `${me.value?.person ?? ''}/${motion ?? 'new'}`

/** The words of a motion that were typed and not saved, of a new one or of the one named, and its id. */
export async function motionKept(motion?: string): Promise<{ id: string; words: MotionWords } | undefined> {
  return (await database()).get('motions', keyOf(motion))
}

export async function keepMotion(id: string, words: MotionWords, motion?: string): Promise<void> {
  await (await database()).put('motions', { id, words: { ...toRaw(words) } }, keyOf(motion))
}

export async function dropMotion(motion?: string): Promise<void> {
  await (await database()).delete('motions', keyOf(motion))
}
