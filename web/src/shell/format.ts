/** Dates, numbers and durations as people write them, in China Standard Time. */
import { i18n } from '@/words'
import { now } from './surroundings'

const ZONE = 'Asia/Shanghai'
const DAY_MS = 86_400_000

const locale = (): string => (i18n.global.locale.value === 'zh' ? 'zh-CN' : 'en-GB')

function formatted(at: string | Date, options: Intl.DateTimeFormatOptions): string {
  return new Intl.DateTimeFormat(locale(), { timeZone: ZONE, ...options }).format(new Date(at))
}

export const day = (at: string | Date): string => formatted(at, { year: 'numeric', month: 'long', day: 'numeric' })
export const dayAndTime = (at: string | Date): string =>
  formatted(at, { year: 'numeric', month: 'long', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
export const shortDay = (at: string | Date): string => formatted(at, { month: 'numeric', day: 'numeric' })
/** The day in the form that a date field takes, yyyy-mm-dd. */
export const isoDay = (at: Date): string =>
  new Intl.DateTimeFormat('sv-SE', { timeZone: ZONE, dateStyle: 'short' }).format(at)

/** Whole days from today to that day; negative when it has passed. */
export function daysLeft(at: string): number {
  const midnight = (moment: Date): number => Date.parse(`${isoDay(moment)}T00:00:00Z`)
  return Math.round((midnight(new Date(at)) - midnight(now())) / DAY_MS)
}

/** Points, kept in hundredths, without needless zeros. */
export const points = (hundredths: number): string =>
  new Intl.NumberFormat(locale(), { maximumFractionDigits: 2 }).format(hundredths / 100)

export const number = (value: number): string => new Intl.NumberFormat(locale()).format(value)

/** A receipt number 回执号 in groups of four. */
export const receiptOf = (signs: string): string => signs.replace(/(.{4})(?=.)/g, '$1-')

/** Several names as one text. */
export const listed = (names: readonly string[]): string => new Intl.ListFormat(locale(), { style: 'narrow' }).format(names)

/** The size of a file. */
export const fileSize = (bytes: number): string => {
  const [value, unit] = bytes < 1_000_000 ? [Math.max(1, Math.round(bytes / 1_000)), 'kilobyte'] : [bytes / 1_000_000, 'megabyte']
  return new Intl.NumberFormat(locale(), { style: 'unit', unit, maximumFractionDigits: 1 }).format(value)
}

/** A ratio in per cent; a dash where there is none. */
export const percent = (ratio: number | null | undefined): string =>
  ratio === null || ratio === undefined ? '–' : new Intl.NumberFormat(locale(), { style: 'percent', maximumFractionDigits: 1 }).format(ratio)

/** When a day (yyyy-mm-dd) begins in China Standard Time, and when it has passed; empty for what is no day. */
export const dayBegins = (day: string): string => atMidnight(day, 0)
export const dayEnds = (day: string): string => atMidnight(day, 1)
function atMidnight(day: string, later: number): string {
  const at = Date.parse(`${day}T00:00:00+08:00`)
  return Number.isNaN(at) ? '' : new Date(at + later * DAY_MS).toISOString()
}

/** The moment that a field of day and time says in China Standard Time (yyyy-mm-ddThh:mm), which has no summer time. */
export const moment = (local: string): string => new Date(`${local}:00+08:00`).toISOString()
