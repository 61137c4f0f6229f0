/** Motions are counted by the year of the session 会议年度 in which they were submitted, in China Standard Time. */

/** From when until before when a year lasts; nothing where none is named. */
export function boundsOf(year: string): { from: string; until: string } {
  if (!/^\d{4}$/.test(year)) return { from: '', until: '' }
  return { from: `${year}-01-01T00:00:00+08:00`, until: `${Number(year) + 1}-01-01T00:00:00+08:00` }
}
