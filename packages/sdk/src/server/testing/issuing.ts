/** An issuer on a fake network, with what it must never do: sign two entries for one place, leave a gap, or say a fact twice. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Hex, nobleSigner, readData } from '@smartlayer/protocol'
import { expect } from 'vitest'
import { createSite, type Site } from '../../index.ts'
import { idsOf } from '../../publish.ts'
import { type IssuerPlace, SmartLayer } from '../index.ts'
import { Issuer } from '../issuer.ts'
import { Outbox } from '../outbox.ts'
import { CONTRACT, FakeNetwork, keyOf } from './fake-network.ts'

export const LANE = 'flights'
export const ISSUER_KEY = keyOf(77)
const PATIENCE_MS = 150
const PLACE = { contract: CONTRACT, chainId: 31_337n, lane: LANE }

export type IssuerChanges = Partial<IssuerPlace> & { readonly key?: Hex }

export class Issuing {
  readonly net: FakeNetwork
  readonly folder: string
  readonly #issuers: Issuer[] = []
  readonly #sites = new Map<Hex, Promise<Site>>()

  private constructor(net: FakeNetwork) {
    this.net = net
    this.folder = mkdtempSync(join(tmpdir(), 'issuer-test-'))
  }

  static async start(): Promise<Issuing> {
    const net = new FakeNetwork()
    await net.start()
    return new Issuing(net)
  }

  async stop(): Promise<void> {
    await Promise.all(this.#issuers.map((issuer) => issuer.close()))
    await this.net.stop()
    rmSync(this.folder, { recursive: true })
  }

  get path(): string {
    return join(this.folder, 'outbox')
  }

  site(key: Hex = ISSUER_KEY): Promise<Site> {
    const { anchorUrls: anchors, trust } = this.net
    const site = this.#sites.get(key) ?? createSite({ anchors, trust, signer: nobleSigner(key) })
    this.#sites.set(key, site)
    return site
  }

  async issuer({ key, ...changes }: IssuerChanges = {}): Promise<Issuer> {
    const issuer = new SmartLayer(await this.site(key)).issuer({
      ...PLACE,
      outboxFile: this.path,
      patienceMs: PATIENCE_MS,
      ...changes,
    })
    this.#issuers.push(issuer)
    return issuer
  }

  /** An issuer that a crash can take away in the middle: its outbox takes nothing more, its requests may still arrive. */
  async mortal(patienceMs: number): Promise<{ issuer: Issuer; crash: () => Promise<void> }> {
    const site = await this.site()
    const parameters = { ...PLACE, issuer: site.signer }
    const { stream } = idsOf(site, parameters)
    const outbox = Outbox.open({ path: this.path, stream, issuer: site.signer.address })
    const issuer = new Issuer(site, parameters, outbox, { signer: site.signer, patienceMs })
    return { issuer, crash: () => outbox.close() }
  }

  /** Makes anchors misbehave, or all of them behave. */
  anchors(manners: Partial<FakeNetwork['manners'][number]>, which: readonly number[] = [0, 1, 2, 3]): void {
    for (const i of which) Object.assign(this.net.manners[i]!, manners)
  }

  get bodies(): readonly unknown[] {
    return this.net.published.map(({ body }) => JSON.parse(body))
  }

  /** The values of published facts `{ n }`, in order. */
  get numbers(): readonly number[] {
    return this.bodies.flatMap((body) => {
      const { n } = body as { n?: number }
      return n === undefined ? [] : [n]
    })
  }

  /** No place of one epoch was ever shown with two UIDs, and every sequence follows the one before. */
  expectNoFork(): void {
    for (const [place, uids] of this.net.streams.shown) expect(uids.size, `entries shown for ${place}`).toBe(1)
    const sequences = this.net.published.map((item) => readData(item)!.sequence)
    expect(sequences).toEqual(sequences.map((_, i) => BigInt(i + 1)))
  }
}
