/** Answers for everybody: attested once, and given again for at most a second while nothing changed below them. */
import { type Answer, answerShape, type Bytes32, mayReuse, SmartLayerError, tooOld } from '@smartlayer/protocol'
import type { Telemetry } from '../ports/telemetry.ts'
import type { Readable } from './hosted-instance.ts'
import { KeptWithin } from './kept-within.ts'

/** Answers under way at a time. */
const UNDER_WAY_LIMIT = 1_024

/** An answer in the form that leaves, and the tag by which a caller may say that it has it. */
export type PublicAnswer = { readonly body: string; readonly etag: string }
type Made = PublicAnswer & Pick<Readable, 'term' | 'stale' | 'asOf'> & { readonly root: Bytes32; readonly at: bigint }

export class PublicAnswers {
  readonly #kept: KeptWithin<Made>
  readonly #underWay = new Map<string, Promise<Made>>()
  readonly #telemetry: Pick<Telemetry, 'count'>

  constructor(limitBytes: number, telemetry: Pick<Telemetry, 'count'>) {
    this.#kept = new KeptWithin(limitBytes)
    this.#telemetry = telemetry
  }

  /** `basis` is what an answer would rest on now; `make` attests one. Throws `queue.full` and what `make` throws. */
  async get(
    { key, now, basis, maxAgeMs }: { key: string; now: bigint; basis: Readable; maxAgeMs: bigint },
    make: () => Promise<Answer>,
  ): Promise<PublicAnswer> {
    const { term, stale, confirmed } = basis
    const kept = this.#kept.get(key)
    const present = { now, root: confirmed.root, term, stale }
    if (kept && mayReuse(kept, present) && !tooOld({ maxAgeMs }, kept.asOf, now)) {
      this.#telemetry.count('smartlayer_query_public_total', { from: 'cache' })
      return kept
    }
    const flight = `${key}@${confirmed.root}/${term}/${stale}/${basis.asOf}`
    const underWay = this.#underWay.get(flight)
    if (underWay) return underWay
    if (this.#underWay.size >= UNDER_WAY_LIMIT)
      throw SmartLayerError.of('queue.full', { queue: 'answers for everybody', limit: UNDER_WAY_LIMIT })
    this.#telemetry.count('smartlayer_query_public_total', { from: 'attested' })
    const made = this.#make({ key, now, basis }, make).finally(() => this.#underWay.delete(flight))
    this.#underWay.set(flight, made)
    return made
  }

  async #make({ key, now, basis }: { key: string; now: bigint; basis: Readable }, make: () => Promise<Answer>) {
    const answer = await make()
    const { term, stale, asOf, confirmed } = basis
    const { body, etag } = publicAnswerOf(answer)
    const made: Made = { body, etag, term, stale, asOf, root: confirmed.root, at: now }
    this.#kept.set(key, made, body.length)
    return made
  }
}

export function publicAnswerOf(answer: Answer): PublicAnswer {
  const etag = `"${answer.attestation.message.salt.slice(2, 34)}"`
  return { body: JSON.stringify(answerShape.toJson(answer)), etag }
}
