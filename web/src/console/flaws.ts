/** What is wrong with a draft of a rubric or a catalogue and where, in the page's language. */
import { nextTick } from 'vue'
import { i18n } from '@/words'
import type { Schemas } from '@/api/client'

export type Flaw = Schemas['RubricFlaw']
const WINDOWS = ['window', 'short', 'long'] as const

/** Why it is wrong; what the service says in its own words where the code is unknown here. */
export function reasonOf({ code, values, reason }: Flaw): string {
  const { t, te } = i18n.global
  if (!te(`flaw.${code}`)) return reason
  const windows = WINDOWS.filter((name) => te(`window.${values[name]}`)).map((name) => [name, t(`window.${values[name]}`)])
  return t(`flaw.${code}`, { ...values, ...Object.fromEntries(windows) })
}

/** Where it stands: the keys as they are written, the rest in words. */
export function placeOf({ path }: Flaw): string {
  const { t } = i18n.global
  if (path === 'the rubric') return t('flawPlace.rubric')
  if (path === 'the file') return t('flawPlace.file')
  return path.replaceAll('(a key)', t('flawPlace.key'))
}

/** Put the cursor into the line of a text that a flaw is about; nothing where it has none. */
export async function showLine(box: HTMLTextAreaElement | undefined, text: string, line: number | null): Promise<void> {
  if (!box || line === null) return
  const lines = text.split('\n')
  const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0)
  await nextTick()
  box.focus()
  box.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0))
  box.scrollTop = Math.max(0, (box.scrollHeight / lines.length) * (line - 5))
}
