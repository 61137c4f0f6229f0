/** Photos and documents: on their way to the gateway, and those of a case. */
import { computed, onScopeDispose, ref, watch, type ComputedRef, type Ref } from 'vue'
import { ask, client, newId, type Schemas } from '@/api/client'
import type { Reading } from '@/api/reading'

/** A photo that was taken; `digest` is what the gateway called it when it was uploaded. */
export interface Photo {
  id: string
  blob: Blob
  digest?: string
}

/** A file that is uploaded as soon as it was chosen; `digest` is there when it was. */
export interface Upload {
  id: string
  blob: File
  digest?: string
}

/** As many as one command may name. */
export const PHOTOS_MAX = 9
export const DOCUMENTS_MAX = 5
const SIDE_MAX = 2560

let turn: Promise<unknown> = Promise.resolve()

/**
 * A photo of a file, made anew on the device: no larger than the gateway keeps it, upright, and without the place
 * where it was taken. What the browser cannot read goes as it is, and the gateway says what is wrong with it. One
 * after the other: a photo takes a hundred megabytes while it is being made smaller.
 */
export function photoOf(file: Blob): Promise<Photo> {
  const mine = turn.then(async () => ({ id: newId(), blob: (await anew(file).catch(() => null)) ?? file }))
  turn = mine
  return mine
}

async function anew(file: Blob): Promise<Blob | null> {
  const picture = await createImageBitmap(file, { imageOrientation: 'from-image' })
  const scale = Math.min(1, SIDE_MAX / Math.max(picture.width, picture.height))
  const canvas = document.createElement('canvas')
  canvas.width = Math.round(picture.width * scale)
  canvas.height = Math.round(picture.height * scale)
  canvas.getContext('2d')?.drawImage(picture, 0, 0, canvas.width, canvas.height)
  picture.close()
  return new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.85))
}

const bytes = (blob: Blob): string => blob as unknown as string // the document's word for bytes
const bodySerializer = (body: unknown): BodyInit => body as BodyInit

/** Upload a photo; its digest. The same photo again gets the same digest. Throws Problem. */
export async function upload({ blob }: Photo, how?: { signIn: boolean }): Promise<string> {
  const headers = { 'Content-Type': blob.type || 'application/octet-stream' }
  return (await ask(() => client.POST('/api/photos', { body: bytes(blob), headers, bodySerializer }), how)).digest
}

/** Upload a document; its digest. Its name stays here: names often hold residents' names. Throws Problem. */
export async function uploadDocument(blob: File): Promise<string> {
  const headers = { 'Content-Type': 'application/pdf' }
  return (await ask(() => client.POST('/api/documents', { body: bytes(blob), headers, bodySerializer }))).digest
}

/** Files to be sent along: each is uploaded by `send` when it is added. Keeps their `digests`, and whether it is `busy`. */
export function useUploads(send: (file: File) => Promise<string>, digests: Ref<string[]>, busy: Ref<boolean>) {
  const files = ref<Upload[]>([])
  let before: Promise<unknown> = Promise.resolve()

  function drop(id: string): void {
    files.value = files.value.filter((one) => one.id !== id)
  }
  /** Throws Problem, and then the file is not among them. */
  async function add(file: File): Promise<void> {
    const id = newId()
    files.value = [...files.value, { id, blob: file }]
    // One after the other: over a slow line several at once would all be too slow for the gateway.
    const mine = before.then(() => send(file))
    before = mine.catch(() => undefined)
    try {
      const digest = await mine
      files.value = files.value.map((one) => (one.id === id ? { ...one, digest } : one))
    } catch (error) {
      drop(id)
      throw error
    }
  }
  watch(files, (found) => {
    digests.value = [...new Set(found.flatMap((one) => one.digest ?? []))]
    busy.value = found.some((one) => one.digest === undefined)
  })
  onScopeDispose(() => (busy.value = false)) // who closes a form waits for none of its files any more
  return { files, add, drop }
}

/** Addresses under which the browser shows pictures that are still with it, by their ids. */
export function usePreviews(pictures: () => { id: string; blob: Blob }[]): Ref<Map<string, string>> {
  const addresses = ref(new Map<string, string>())
  watch(
    () => pictures().map((one) => one.id).join(),
    () => {
      for (const { id, blob } of pictures()) if (!addresses.value.has(id)) addresses.value.set(id, URL.createObjectURL(blob))
    },
    { immediate: true },
  )
  onScopeDispose(() => addresses.value.forEach((address) => URL.revokeObjectURL(address)))
  return addresses
}

type CasePhoto = Schemas['CasePhoto']

/** The photos of a case that can be shown, and where they are. */
export function useCasePhotos(of: { id: string; photos: CasePhoto[] }): { kept: ComputedRef<CasePhoto[]>; address: (photo: CasePhoto) => string } {
  const kept = computed(() => of.photos.filter((photo) => photo.state === 'kept'))
  return { kept, address: ({ digest }) => `/api/cases/${of.id}/photos/${digest}` }
}

const AGAIN_MS = 2_000

/** Read a case again, less and less often, until its service has taken its attachments over: it says nothing then. */
export function rereadUntilKept(reading: Reading<Schemas['WholeCase']>): void {
  let again: ReturnType<typeof setTimeout> | undefined
  let waits = 0
  watch(reading.data, (found) => {
    clearTimeout(again)
    const attached = found === null ? [] : [...found.photos, ...found.documents]
    if (attached.some((one) => one.state === 'claimed')) again = setTimeout(() => void reading.reload(), AGAIN_MS * ++waits)
  })
  onScopeDispose(() => clearTimeout(again))
}
