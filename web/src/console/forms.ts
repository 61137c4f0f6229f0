/** A form of the staff's: checked on the page, then sent once. */
import type { FormInstance, FormItemRule } from 'element-plus'
import { ref, useTemplateRef, type Ref } from 'vue'
import { useI18n } from 'vue-i18n'
import { useActing, type Send } from '@/api/acting'
import { Problem, type Schemas } from '@/api/client'
import { sentenceOf } from '@/shell/problems'

export interface Filling {
  /** What is wrong, as a sentence; empty where nothing is. */
  fault: Ref<string>
  /** The code of what was wrong with the last body sent; empty where nothing was. */
  refused: Ref<string>
  busy: Ref<boolean>
  /** A rule for a field that must hold something. */
  needed: (message: string) => FormItemRule
  /** A rule that holds when `holds` says so. */
  must: (holds: () => boolean, message: string) => FormItemRule
  /** Check the form, send the body; the thing's id, or null with the fault said. */
  send: (body: unknown, post: Send) => Promise<string | null>
}

/** For a page with an `ElForm` under the reference `form`. */
export function useFilling(): Filling {
  const { t } = useI18n()
  const form = useTemplateRef<FormInstance>('form')
  const fault = ref('')
  const refused = ref('')
  const { busy, act } = useActing()
  const must = (holds: () => boolean, message: string): FormItemRule => ({
    trigger: 'change',
    validator: (_rule, _value, done) => done(holds() ? undefined : new Error(message)),
  })
  return {
    fault,
    refused,
    busy,
    must,
    needed: (message) => ({ required: true, whitespace: true, message, trigger: 'blur' }),
    async send(body, post) {
      fault.value = ''
      refused.value = ''
      // The form says beside each field what is wrong with it.
      if ((await form.value?.validate().catch(() => false)) !== true) {
        fault.value = t('hall.check')
        return null
      }
      try {
        const found: Schemas['Accepted'] | null = await act(body, post)
        return found?.id ?? null
      } catch (error) {
        fault.value = sentenceOf(error)
        if (error instanceof Problem) refused.value = error.code
        return null
      }
    },
  }
}

/** What stands on the lines of a text, without empty ones. */
export const linesOf = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
