/** What a deputy's score 履职积分 of a year is made of, and the files that there are of it. */
import { ask, client, type Schemas } from '@/api/client'
import { i18n } from '@/words'
import { points } from './format'

export type Scored = Schemas['Score'] & { document: Schemas['RubricDocument'] | null }
export type Explained = Pick<Schemas['ScoreExplanation'], 'total' | 'begins' | 'lines' | 'chances'>

/** A deputy's scores of these years, each with the rubric that counted. Throws Problem. */
export async function scoresOf(id: string, years: readonly string[]): Promise<Scored[]> {
  const rubrics = await ask(() => client.GET('/api/rubrics'))
  const found = await Promise.all(years.map((year) => ask(() => client.GET('/api/scores/{id}', { params: { path: { id }, query: { year } } }))))
  return found.map((score) => ({ ...score, document: rubrics.find(({ name, version }) => name === score.rubric?.name && version === score.rubric.version)?.document ?? null }))
}

const NOTHING: Explained = { total: 0, begins: 0, lines: [], chances: [] }

/** The rows that add up to a year's score, the newest first; none where no rubric counted. Throws Problem. */
export async function explanationOf(id: string, year: string): Promise<Explained> {
  const params = { path: { id }, query: { year } }
  const { rubric } = await ask(() => client.GET('/api/scores/{id}', { params }))
  const found = rubric === null ? NOTHING : await ask(() => client.GET('/api/scores/{id}/explanation', { params }))
  return { ...found, lines: [...found.lines].reverse() }
}

export interface CategoryScore {
  key: string
  title: string
  total: number
  cap: number | null | undefined
  /** How much of the cap is used, in per cent. */
  share: number
}

export const categoriesOf = (score: Scored | null): CategoryScore[] =>
  Object.entries(score?.document?.categories ?? {}).map(([key, { title, cap }]) => {
    const total = score?.categories[key] ?? 0
    return { key, title, total, cap, share: cap ? Math.min(100, Math.max(0, total / cap)) : 0 }
  })

/** Why a row counts less, or more, than its points. */
export function cutOf({ part, by_cap: byCap, title, window, limit, points: cut }: Schemas['ScoreCut']): string {
  const { t } = i18n.global
  const how = byCap ? (cut > 0 ? 'over' : 'offset') : cut > 0 ? 'below' : 'spared'
  const about = { title: part === 'total' ? t('archive.sum') : title, window: t(`window.${window}`), limit: points(limit), points: points(Math.abs(cut)) }
  return t(`archive.cut.${how}`, about)
}

/** What can be taken along of a deputy's year, by its word: where it lies, and its name where the gateway gives none. */
export const FILES = {
  sheet: (id: string, year: string) => [`/api/scores/${id}/sheet?year=${year}`, `score-${year}.pdf`],
  report: (id: string, year: string) => [`/api/scores/${id}/report?year=${year}`],
  reportPdf: (id: string, year: string) => [`/api/scores/${id}/report?year=${year}&kind=pdf`],
  package: (id: string) => [`/api/archive/${id}/package`],
  spreadsheet: (id: string) => [`/api/archive/${id}/spreadsheet`],
} satisfies Record<string, (id: string, year: string) => [string, string?]>
