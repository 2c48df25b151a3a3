/** The scenes of the car: one question reads all, over the death of a node, and never a mixture. */
import { strict as assert } from 'node:assert'
import { isSmartLayerError } from '@smartlayer/protocol'
import { resolve } from '@smartlayer/sdk/server'
import type { CarDemo, TypeName } from './demo.ts'

type Scene = { readonly name: string; readonly play: (stage: Stage) => Promise<unknown> }
type Paper = { readonly car: string; readonly number: string; readonly edition: number }
type Seen<T> =
  | { readonly ok: true; readonly value: T; readonly n: string }
  | { readonly ok: false; readonly code: string }
type Book = { readonly services: number; readonly told: number; readonly refused: string }
type Condition = { readonly odometerKm: number; readonly inspections: number; readonly services: number }
export type Overview = {
  readonly registration: Seen<Paper>
  readonly insurance: Seen<Paper>
  readonly maintenance: Seen<Book>
}

const CAR_ID = 1n
const PAPER_TYPES = ['registration', 'insurance', 'maintenance'] as const
/** Tokens of a paper that are tried until one lives on a node that does not hold the car. */
const PAPER_IDS = [1n, 2n, 3n, 4n, 5n]
const QUESTIONS_WHILE_DYING = 40

/** What the scenes share. */
export class Stage {
  readonly demo: CarDemo
  /** The name of a node that holds the insurance and not the car. */
  victim = ''
  insurance = 0n
  edition = 0

  constructor(demo: CarDemo) {
    this.demo = demo
  }

  get car(): string {
    return this.demo.token('car', CAR_ID)
  }

  async replicasOf(type: TypeName, tokenId: bigint): Promise<readonly string[]> {
    const { certified } = await resolve(this.demo.site.site, this.demo.token(type, tokenId), { anew: true })
    return certified.placement.replicas
  }

  /** The name of a node of the local network by its address. */
  nameOf(node: string): string {
    const { members } = this.demo.site.site.network.membership
    const api = members.find((member) => member.node === node)?.api
    return this.demo.network.layout.nodes.find((place) => place.api === api)?.name ?? node
  }

  async insure(): Promise<void> {
    const edition = ++this.edition
    const body = { car: this.car, number: `POLICY-${edition}`, edition }
    await this.demo.say('insurance', `paper/${this.insurance}`, body)
  }

  /** The verified answer to the one question, its parts checked for what a mixture would show. */
  async overview() {
    const result = await this.demo.site.token(this.car).callPublic<Overview>('overview')
    assert.equal(result.proof.ok, true, result.proof.summary)
    assert.deepEqual(
      result.proof.parts.map(({ name }) => name),
      [...PAPER_TYPES],
    )
    for (const { name, code, proof } of result.proof.parts) {
      assert.equal(proof === undefined, code !== '', `${name} is either there or said to be missing`)
      assert.ok(proof?.ok !== false, `${name}: ${proof?.summary}`)
    }
    assert.equal(
      result.partial,
      result.proof.parts.some(({ proof }) => !proof),
    )
    for (const paper of [result.value.registration, result.value.insurance])
      if (paper.ok && paper.value.edition > 0) assert.match(paper.value.number, new RegExp(`-${paper.value.edition}$`))
    return result
  }
}

/** The car, once the book has told it so often. */
async function condition(stage: Stage, services: number): Promise<Condition> {
  const ask = () => stage.demo.site.token(stage.car).callPublic<Condition>('condition')
  return (await until(ask, ({ value }) => value.services >= services)).value
}

async function book(stage: Stage, holds: (book: Book) => boolean): Promise<Book> {
  const ask = () => stage.demo.site.token(stage.demo.token('maintenance', 1n)).callPublic<Book>('book')
  return (await until(ask, ({ value }) => holds(value))).value
}

export const SCENES: readonly Scene[] = [
  {
    name: 'a car, a registration, an insurance and a maintenance book live on different nodes',
    play: async (stage) => {
      const { demo } = stage
      await demo.mint('car', CAR_ID)
      await demo.mint('registration', 1n)
      await demo.mint('maintenance', 1n)
      const carNodes = await stage.replicasOf('car', CAR_ID)
      for (const id of PAPER_IDS) {
        await demo.mint('insurance', id)
        const elsewhere = (await stage.replicasOf('insurance', id)).find((node) => !carNodes.includes(node))
        if (!elsewhere) continue
        stage.insurance = id
        stage.victim = stage.nameOf(elsewhere)
        break
      }
      assert.notEqual(stage.victim, '', 'every insurance lives where the car does')
      const papers = {
        registration: demo.token('registration', 1n),
        insurance: demo.token('insurance', stage.insurance),
        maintenance: demo.token('maintenance', 1n),
      }
      await demo.say('car', `car/${CAR_ID}`, papers)
      await until(
        () => stage.overview(),
        ({ value }) => value.maintenance.ok,
      )
      await demo.say('registration', 'paper/1', { car: stage.car, number: 'PLATE-1', edition: 1 })
      await demo.say('maintenance', 'book/1', { car: stage.car, odometerKm: 12_000, inspected: true })
      await stage.insure()
      const nodes = await Promise.all(
        [
          ['car', CAR_ID],
          ['registration', 1n],
          ['insurance', stage.insurance],
          ['maintenance', 1n],
        ].map(async ([type, id]) => [
          type,
          (await stage.replicasOf(type as TypeName, id as bigint)).map((node) => stage.nameOf(node)),
        ]),
      )
      return Object.fromEntries(nodes)
    },
  },
  {
    name: 'one question reads all of them, and the answer proves each part',
    play: async (stage) => {
      const { value, proof, partial } = await until(
        () => stage.overview(),
        ({ value: seen, partial: lacks }) =>
          !lacks &&
          seen.insurance.ok &&
          seen.insurance.value.edition === 1 &&
          seen.maintenance.ok &&
          seen.maintenance.value.services === 1,
      )
      assert.equal(partial, false)
      assert.ok(value.registration.ok && value.registration.value.number === 'PLATE-1')
      return {
        checks: proof.checks.length,
        parts: proof.parts.map(({ name, proof: part }) => [name, part?.checks.length]),
      }
    },
  },
  {
    name: 'while a node dies in between, every answer is whole, partial with its reason, or asks to come again',
    play: async (stage) => {
      const ends = { whole: 0, partial: 0, again: 0 }
      const reasons = new Set<string>()
      let last = 0
      for (let i = 0; i < QUESTIONS_WHILE_DYING; i++) {
        if (i === QUESTIONS_WHILE_DYING / 4) stage.demo.network.nodes.get(stage.victim)?.signal('SIGKILL')
        if (i % 5 === 0) void stage.insure().catch(() => {}) // its stream goes on in any case
        try {
          const { value, partial } = await stage.overview()
          if (value.insurance.ok) {
            assert.ok(value.insurance.value.edition >= last - 1, 'far behind what was seen before')
            last = Math.max(last, value.insurance.value.edition)
          }
          if (!partial) ends.whole++
          else ends.partial++
          for (const part of Object.values(value)) if (!part.ok) reasons.add(part.code)
        } catch (error) {
          if (!isSmartLayerError(error) || !error.retryable) throw error
          ends.again++
          reasons.add(error.code)
        }
      }
      assert.ok(ends.whole > QUESTIONS_WHILE_DYING / 4, `only ${ends.whole} answers were whole`)
      return { killed: stage.victim, ...ends, reasons: [...reasons] }
    },
  },
  {
    name: 'with the node gone the question is answered whole again, with the newest of each part',
    play: async (stage) => {
      const result = await until(
        () => stage.overview(),
        ({ value, partial }) => !partial && value.insurance.ok && value.insurance.value.edition === stage.edition,
      )
      return { edition: stage.edition, n: result.answer.n.toString() }
    },
  },
  {
    name: 'the garage writes into the book, and the book tells the car, once',
    play: async (stage) => {
      const told = await book(stage, (seen) => seen.told === 1)
      assert.deepEqual(await condition(stage, 1), { odometerKm: 12_000, inspections: 1, services: 1 })
      return { book: told }
    },
  },
  {
    name: 'a message reaches the car once though the node that would bring it is killed',
    play: async (stage) => {
      const { certified } = await resolve(stage.demo.site.site, stage.demo.token('maintenance', 1n), { anew: true })
      const executor = stage.nameOf(certified.placement.executor)
      const service = (odometerKm: number) => ({ car: stage.car, odometerKm, inspected: false })
      await stage.demo.say('maintenance', 'book/1', service(20_000))
      stage.demo.network.nodes.get(executor)?.signal('SIGKILL')
      await stage.demo.say('maintenance', 'book/1', service(30_000))
      assert.deepEqual(await condition(stage, 3), { odometerKm: 30_000, inspections: 1, services: 3 })
      const told = await book(stage, (seen) => seen.told === 3)
      return { killed: executor, book: told }
    },
  },
  {
    name: 'what the car refuses changes nothing, and the book hears why',
    play: async (stage) => {
      await stage.demo.say('maintenance', 'book/1', { car: stage.car, odometerKm: 1, inspected: true })
      const told = await book(stage, (seen) => seen.refused !== '')
      assert.equal(told.refused, 'sandbox.threw')
      assert.deepEqual(await condition(stage, 3), { odometerKm: 30_000, inspections: 1, services: 3 })
      return { book: told.refused }
    },
  },
]

/** Asks again until it holds; an answer that asks to come again is no end. */
async function until<T>(ask: () => Promise<T>, holds: (got: T) => boolean, limitMs = 20_000): Promise<T> {
  const end = performance.now() + limitMs
  for (;;) {
    try {
      const got = await ask()
      if (holds(got)) return got
      assert.ok(
        performance.now() < end,
        `it never held: ${JSON.stringify(got, (_, value) => (typeof value === 'bigint' ? String(value) : value)).slice(0, 600)}`,
      )
    } catch (error) {
      if (!isSmartLayerError(error) || !error.retryable || performance.now() >= end) throw error
    }
    await new Promise((done) => setTimeout(done, 200))
  }
}
