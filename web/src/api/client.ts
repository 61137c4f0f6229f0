/**
 * Asking the gateway. Types come from its OpenAPI document (`schema.d.ts`, generated).
 *
 * Invariants: whatever goes wrong is a `Problem`; the session's cookie travels by itself and no script sees it; a
 * command has an id made here, so that the same id sent again acts once; an expired session is renewed, and one that
 * has ended asks to sign in, and then it goes on where it was.
 */
import createClient from 'openapi-fetch'
import { v7 as uuid } from 'uuid'
import { renewed, turn } from './renewal'
import type { components, paths } from './schema'
import { signedInAgain } from './session-gate'

export type Schemas = components['schemas']

/** What the gateway says when it says no (RFC 9457), or `offline` when it could not be asked. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
  ) {
    super(code)
  }

  get offline(): boolean {
    return this.code === 'offline'
  }
}

export const client = createClient<paths>({ baseUrl: '/', headers: { Accept: 'application/json' } })

type Asked<T> = Promise<{ data?: T; error?: unknown; response: Response }>

function problemOf(response: Response, error: unknown): Problem {
  const said = (typeof error === 'object' && error !== null ? error : {}) as Partial<Schemas['Problem']>
  return new Problem(response.status, said.code ?? 'http-error', said.detail ?? response.statusText)
}

async function once<T>(ask: () => Asked<T>): Promise<{ data: T; response: Response }> {
  let said
  try {
    const before = turn()
    said = await ask()
    if (said.response.status === 401) {
      const again = await renewed(before)
      if (again instanceof Response) throw problemOf(again, await again.json().catch(() => null))
      if (again) said = await ask()
    }
  } catch (error) {
    // fetch fails with a TypeError for every fault of the network; anything else is a mistake of ours
    if (error instanceof TypeError || (error instanceof DOMException && error.name === 'AbortError'))
      throw new Problem(0, 'offline', 'The network cannot be reached.')
    throw error
  }
  if (!said.response.ok) throw problemOf(said.response, said.error)
  return { data: said.data as T, response: said.response }
}

/** The answer to a question. Throws Problem; waits for a new sign-in where the session has expired, unless `signIn` is false. */
export async function ask<T>(question: () => Asked<T>, { signIn = true }: { signIn?: boolean } = {}): Promise<T> {
  return (await (signIn ? patiently(question) : once(question))).data
}

async function patiently<T>(question: () => Asked<T>): Promise<{ data: T; response: Response }> {
  try {
    return await once(question)
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 401) throw error
    await signedInAgain()
    return once(question)
  }
}

export const newId = (): string => uuid()

const PATIENCE_MS = 30_000

/**
 * Send a command and wait for its outcome. `send` gets the headers with the command's id.
 *
 * Throws Problem: a refusal, `offline`, or `pending` when no outcome came in time (the command may still act, and
 * sending it again under the same id is safe). `signIn: false` throws an expired session instead of waiting.
 */
export async function command(
  send: (headers: { 'Idempotency-Key': string }) => Asked<unknown>,
  id: string = newId(),
  { signIn = true }: { signIn?: boolean } = {},
): Promise<Schemas['Accepted']> {
  const asked = () => send({ 'Idempotency-Key': id })
  const { data, response } = await (signIn ? patiently(asked) : once(asked))
  if (response.status !== 202) return data as Schemas['Accepted']
  return outcome(response.headers.get('Location') ?? '')
}

async function outcome(location: string): Promise<Schemas['Accepted']> {
  const ends = Date.now() + PATIENCE_MS
  const asked = async () => {
    const response = await fetch(location, { headers: { Accept: 'application/json' } })
    const body: unknown = await response.json()
    return response.ok ? { data: body, response } : { error: body, response }
  }
  for (let wait = 300; Date.now() < ends; wait = Math.min(wait * 1.5, 3000)) {
    await new Promise((resume) => setTimeout(resume, wait))
    try {
      return (await once(asked)).data as Schemas['Accepted']
    } catch (error) {
      // 404: not yet known; 503: the service is away for a moment
      if (!(error instanceof Problem) || ![404, 503].includes(error.status)) throw error
    }
  }
  throw new Problem(202, 'pending', 'No outcome yet.')
}
