/** Where something is, in degrees of WGS-84: what browsers give, while maps made in China show GCJ-02. */
import type { Schemas } from '@/api/client'

export type Position = Schemas['CasePosition']
/** Why a device did not say where it is; each has a sentence in the words. */
export type Fault = 'refused' | 'unavailable' | 'timeout' | 'unsupported'

const DIGITS = 6
const ACCURACY_MAX = 1_000_000
const PATIENCE_MS = 15_000
/** By the numbers of the browser's own errors. */
const FAULTS: Partial<Record<number, Fault>> = { 1: 'refused', 2: 'unavailable', 3: 'timeout' }

/** As people read it, and as map programs take it. */
export const degrees = (at: Position): string => `${at.latitude.toFixed(DIGITS)}, ${at.longitude.toFixed(DIGITS)}`

/** What a phone opens in its own map (RFC 5870, which means WGS-84). */
export const geoAddress = (at: Position): string => `geo:${at.latitude.toFixed(DIGITS)},${at.longitude.toFixed(DIGITS)}`

/** Ask the device where it is; the browser asks its owner first. */
export function whereNow(): Promise<Position | Fault> {
  if (!window.isSecureContext || !('geolocation' in navigator)) return Promise.resolve('unsupported')
  const rounded = (value: number): number => Number(value.toFixed(DIGITS))
  return new Promise((resolve) => {
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => resolve({ latitude: rounded(coords.latitude), longitude: rounded(coords.longitude), accuracy: Math.min(Math.ceil(coords.accuracy), ACCURACY_MAX) }),
      ({ code }) => resolve(FAULTS[code] ?? 'unavailable'),
      { enableHighAccuracy: true, timeout: PATIENCE_MS, maximumAge: 0 },
    )
  })
}
