/** Photos on their way from the camera to the gateway. */
import { onScopeDispose, watch } from 'vue'
import { ask, client, newId, type Schemas } from '@/api/client'
import type { Reading } from '@/api/reading'

/** A photo that was taken; `digest` is what the gateway called it when it was uploaded. */
export interface Photo {
  id: string
  blob: Blob
  digest?: string
}

/** As many as one command may name. */
export const PHOTOS_MAX = 9
const SIDE_MAX = 2560

/**
 * A photo of a file, made anew on the phone: no larger than the gateway keeps it, upright, and without the place
 * where it was taken. What the browser cannot read goes as it is, and the gateway says what is wrong with it.
 */
export async function photoOf(file: Blob): Promise<Photo> {
  return { id: newId(), blob: (await anew(file).catch(() => null)) ?? file }
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

/** Upload a photo; its digest. The same photo again gets the same digest. Throws Problem. */
export async function upload({ blob }: Photo, how?: { signIn: boolean }): Promise<string> {
  const body = blob as unknown as string // the document's word for bytes
  const headers = { 'Content-Type': blob.type || 'application/octet-stream' }
  return (await ask(() => client.POST('/api/photos', { body, headers, bodySerializer: (bytes) => bytes }), how)).digest
}

const AGAIN_MS = 2_000

/** Read a case again, less and less often, until its service has taken its photos over: it says nothing then. */
export function rereadUntilKept(reading: Reading<Schemas['WholeCase']>): void {
  let again: ReturnType<typeof setTimeout> | undefined
  let waits = 0
  watch(reading.data, (found) => {
    clearTimeout(again)
    if (found?.photos.some((photo) => photo.state === 'claimed')) again = setTimeout(() => void reading.reload(), AGAIN_MS * ++waits)
  })
  onScopeDispose(() => clearTimeout(again))
}
