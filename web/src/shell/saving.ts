/** Files that the gateway or a page makes, kept on the reader's device. */
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
  keep(found.blob, found.name)
}

function keep(blob: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

/** Let the browser keep rows as a CSV that office programs know to be UTF-8; no cell is a formula. */
export function saveCsv(name: string, rows: readonly (readonly (string | number)[])[]): void {
  const cell = (value: string | number): string => `"${String(value).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`
  const text = rows.map((row) => `${row.map(cell).join(',')}\r\n`).join('')
  keep(new Blob([`\uFEFF${text}`], { type: 'text/csv' }), name)
}
