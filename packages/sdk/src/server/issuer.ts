/** An issuer's client on a server: facts in order, one at a time, kept until they have their receipt. */
import { isSmartLayerError, type ReceiptInfo, type StreamItem } from '@smartlayer/protocol'
import { type FactParameters, type IssuerParameters, publish, readPlace, signFact } from '../publish.ts'
import type { Site } from '../site.ts'
import type { Outbox } from './outbox.ts'

export type Published = { readonly item: StreamItem; readonly receipt: ReceiptInfo }

export class Issuer {
  readonly #site: Site
  readonly #parameters: IssuerParameters
  readonly #outbox: Outbox
  #queue: Promise<unknown> = Promise.resolve()

  constructor(site: Site, parameters: IssuerParameters, outbox: Outbox) {
    this.#site = site
    this.#parameters = parameters
    this.#outbox = outbox
  }

  /** Publishes a fact and resolves with its receipt. After a crash or an error, calling it again goes on where it stood. */
  attest(fact: FactParameters): Promise<Published> {
    const made = this.#queue.then(() => this.#publish(fact))
    this.#queue = made.catch(() => undefined)
    return made
  }

  async #publish(fact: FactParameters): Promise<Published> {
    await this.#sendPending()
    const place = await readPlace(this.#site, this.#parameters, fact.subset)
    const item = signFact(this.#site, this.#parameters, { fact, place })
    this.#outbox.keep(item)
    const receipt = await this.#send(item)
    return { item, receipt }
  }

  /** What was signed before is sent again as it is: the same place is never signed twice. */
  async #sendPending(): Promise<void> {
    const pending = this.#outbox.pending()
    if (!pending) return
    try {
      await this.#send(pending)
    } catch (error) {
      if (!isMalformed(error)) throw error // what was malformed was dropped, and its own caller was told
    }
  }

  /** Sends what the outbox keeps, until it has its receipt, or f + 1 anchors say that it can never have one. */
  async #send(item: StreamItem): Promise<ReceiptInfo> {
    try {
      const receipt = await publish(this.#site, item)
      this.#outbox.done()
      return receipt
    } catch (error) {
      if (isMalformed(error)) this.#outbox.done()
      throw error
    }
  }
}

/** Wrong in itself, for every anchor alike: it is in no stream, so its place is still free. */
function isMalformed(error: unknown): boolean {
  return isSmartLayerError(error) && error.kind === 'invalid'
}
