/** Files that the gateway makes, kept on the reader's device. */
import { ask, Problem } from '@/api/client'

/** Fetch a file and let the browser keep it, under the gateway's name for it or else `name`. Throws Problem. */
export async function save(path: string, name = ''): Promise<void> {
  const found = await ask(async () => {
    const response = await fetch(path)
    if (!response.ok) return { error: (await response.json().catch(() => null)) as unknown, response }
    const named = /filename="([^"]+)"/.exec(response.headers.get('Content-Disposition') ?? '')?.[1]
    const blob = await response.blob().catch(() => {
      throw new Problem(response.status, 'file-broken-off', 'The file broke off.')
    })
    return { data: { blob, name: named ?? name }, response }
  })
  const link = document.createElement('a')
  link.href = URL.createObjectURL(found.blob)
  link.download = found.name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}
