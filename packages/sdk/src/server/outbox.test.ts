import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { isSmartLayerError, nobleCrypto, type StreamItem, toHex } from '@smartlayer/protocol'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { idsOf } from '../publish.ts'
import type { Site } from '../site.ts'
import { lockFile } from './file-lock.ts'
import { Outbox } from './outbox.ts'
import {
  applyRecord,
  markOf,
  newState,
  recordsOf,
  type SignedEntry,
  SUBSET_LIMIT,
  subsetHeadOf,
} from './outbox-state.ts'
import { signGroup } from './sign-group.ts'
import { CONTRACT } from './testing/fake-network.ts'
import { Issuing, LANE } from './testing/issuing.ts'

let world: Issuing
let site: Site
let folder: string
let stream: `0x${string}`
let issuer: `0x${string}`
const open: Outbox[] = []

beforeAll(async () => {
  world = await Issuing.start()
  site = await world.site()
  issuer = site.signer.address
  stream = idsOf(site, parameters()).stream
})
afterAll(() => world.stop())
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outbox-test-'))
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((outbox) => outbox.close()))
  rmSync(folder, { recursive: true })
})

const parameters = () => ({ issuer: site.signer, contract: CONTRACT, chainId: 31_337n, lane: LANE })
const path = () => join(folder, 'outbox')

function openOutbox(changes: Partial<Parameters<typeof Outbox.open>[0]> = {}): Outbox {
  const outbox = Outbox.open({ path: path(), stream, issuer, ...changes })
  open.push(outbox)
  return outbox
}

/** Signs what follows the state of the outbox. */
function signed(outbox: Outbox, count: number, line = 0): readonly SignedEntry[] {
  const state = outbox.state ?? newState({ stream, issuer })
  const entries = Array.from({ length: count }, (_, i) => ({
    kind: 'fact' as const,
    subset: toHex(new Uint8Array(32).fill(1 + (i % 5))),
    body: `{"n":${i}}`,
    lifeS: 0n,
  }))
  const heads = new Map(entries.map(({ subset }) => [subset, subsetHeadOf(state, subset)!]))
  const { epoch, sequence, head } = state.now
  const start = { epoch, stream: { sequence, head }, heads }
  const by = { signer: site.signer, delegation: undefined }
  const { items } = signGroup(site, parameters(), { entries, start, by })
  return items.map((item: StreamItem, i) => ({
    item,
    mark: line ? { run: 'batch', line: line + i, digest: 'd' } : undefined,
  }))
}

async function begin(outbox: Outbox): Promise<void> {
  const { base } = newState({ stream, issuer })
  const place = { basis: base, complete: true, subsets: [], runs: [] }
  await outbox.append({ type: 'place', place }, { durable: true })
}

const thrownBy = (act: () => unknown): string => {
  try {
    act()
  } catch (error) {
    return isSmartLayerError(error) ? error.code : String(error)
  }
  return 'nothing was thrown'
}

describe('an outbox', () => {
  it('knows after a restart what it knew before', async () => {
    const before = openOutbox()
    expect(before.state).toBeUndefined()
    await begin(before)
    await before.append({ type: 'signed', entries: signed(before, 8, 10) }, { durable: true })
    await before.append({ type: 'receipt', sequence: 5n }, { durable: false })
    await before.close()
    const after = openOutbox()
    expect(after.state).toEqual(before.state)
    expect(after.state).toMatchObject({ base: { sequence: 5n }, now: { sequence: 8n } })
    expect([markOf(after.state!, 'batch')?.line, after.state!.runs.get('batch')?.line]).toEqual([17, 14])
  })

  it('is written anew when it has grown, and says the same', async () => {
    const outbox = openOutbox()
    await begin(outbox)
    let largest = 0
    for (let i = 0; i < 120; i++) {
      await outbox.append({ type: 'signed', entries: signed(outbox, 64, 1 + i * 64) }, { durable: true })
      await outbox.append({ type: 'receipt', sequence: outbox.state!.now.sequence - 10n }, { durable: false })
      largest = Math.max(largest, statSync(path()).size)
    }
    expect(largest).toBeLessThan(9_000_000)
    expect(statSync(path()).size).toBeLessThan(largest)
    await outbox.close()
    expect(openOutbox().state).toEqual(outbox.state)
  })

  it('belongs to one stream', async () => {
    const outbox = openOutbox()
    await begin(outbox)
    await outbox.close()
    expect(thrownBy(() => openOutbox({ stream: `0x${'11'.repeat(32)}` }))).toBe('config.invalid')
  })

  it('adds nothing when the disk refuses', async () => {
    const outbox = openOutbox()
    await begin(outbox)
    const entries = signed(outbox, 1)
    await outbox.close()
    const refused = outbox.append({ type: 'signed', entries }, { durable: true })
    await expect(refused).rejects.toMatchObject({ code: 'store.failed' })
    expect(openOutbox().state?.now.sequence).toBe(0n)
  })

  it('refuses damage in its middle, and is put aside only when that was asked for', async () => {
    const outbox = openOutbox()
    await begin(outbox)
    await outbox.append({ type: 'signed', entries: signed(outbox, 3) }, { durable: true })
    await outbox.append({ type: 'receipt', sequence: 3n }, { durable: true })
    await outbox.close()
    const bytes = readFileSync(path())
    bytes[bytes.indexOf('"signed"')] = 0x20
    writeFileSync(path(), bytes)
    expect(thrownBy(() => openOutbox())).toBe('stream.state_damaged')
    expect(openOutbox({ replaceDamaged: true }).state).toBeUndefined()
    expect(readdirSync(folder).some((name) => name.startsWith('outbox.damaged-'))).toBe(true)
  })

  it('ends or is refused, whatever happens to its bytes, and never says what was not written', async () => {
    const outbox = openOutbox()
    await begin(outbox)
    const states = new Set<string>()
    const note = () => states.add(fingerprint(outbox))
    note()
    for (let i = 0; i < 3; i++) {
      await outbox.append({ type: 'signed', entries: signed(outbox, 2, 1 + i * 2) }, { durable: true })
      note()
      await outbox.append({ type: 'receipt', sequence: outbox.state!.now.sequence }, { durable: true })
      note()
    }
    await outbox.close()
    const bytes = readFileSync(path())
    const codes = new Set<string>()
    let mutated = 0
    const mutation = fc.oneof(
      fc.record({ at: fc.nat(bytes.length - 1), with: fc.uint8Array({ maxLength: 8 }), cut: fc.nat(8) }),
      fc.record({ at: fc.nat(bytes.length), with: fc.constant(new Uint8Array()), cut: fc.constant(bytes.length) }),
    )
    await fc.assert(
      fc.asyncProperty(mutation, async ({ at, with: inserted, cut }) => {
        mutated++
        writeFileSync(path(), Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at + cut)]))
        try {
          const opened = Outbox.open({ path: path(), stream, issuer, crypto: nobleCrypto })
          const known = opened.state ? fingerprint(opened) : 'empty'
          await opened.close()
          expect(known === 'empty' || states.has(known)).toBe(true)
        } catch (error) {
          if (!isSmartLayerError(error)) throw error
          codes.add(error.code)
        }
      }),
      { numRuns: 10_000 },
    )
    expect(mutated).toBeGreaterThanOrEqual(10_000)
    expect([...codes].sort()).toEqual(['stream.state_damaged'])
  }, 120_000)

  it('keeps heads of subsets within a limit, and then asks for the others', () => {
    const state = newState({ stream, issuer })
    for (let i = 0; i < SUBSET_LIMIT; i++) {
      const subset = toHex(new Uint8Array(new Uint32Array([i, 0, 0, 0, 0, 0, 0, 7]).buffer))
      state.subsets.set(subset, { sequence: 1n, head: subset })
    }
    const [oldest] = state.subsets.keys()
    const memory = { state } as Outbox
    applyRecord(state, { type: 'signed', entries: signed(memory, 1) }, nobleCrypto.keccak)
    expect([state.subsets.size, state.complete]).toEqual([SUBSET_LIMIT, false])
    expect(subsetHeadOf(state, oldest!)).toBeUndefined()
    expect(recordsOf(state)).toHaveLength(1)
  })

  function fingerprint({ state }: Outbox): string {
    const { base, now, pending } = state!
    return [base.sequence, base.head, now.sequence, now.head, pending.length].join()
  }
})

describe('the lock of a file', () => {
  it('lets nobody else in, and says who is', () => {
    const unlock = lockFile(path())
    expect(() => lockFile(path())).toThrow(`process ${process.pid}`)
    unlock()
    lockFile(path())()
    expect(existsSync(`${path()}.lock`)).toBe(false)
  })

  it('of a process that was killed is taken over', async () => {
    const script = `
      import { lockFile } from ${JSON.stringify(new URL('file-lock.ts', import.meta.url).href)}
      lockFile(${JSON.stringify(path())})
      console.log('locked')
      setInterval(() => {}, 1_000)`
    const args = ['--conditions=source', '--input-type=module', '--eval', script]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    expect(thrownBy(() => lockFile(path()))).toBe('file.locked')
    child.kill('SIGKILL')
    await once(child, 'exit')
    lockFile(path())()
  })

  it('of an earlier process with the same number, or one that was never written whole, is taken over', () => {
    const lock = `${path()}.lock`
    writeFileSync(lock, JSON.stringify({ pid: process.pid, started: '1', host: hostname(), token: 'x' }))
    lockFile(path())()
    writeFileSync(lock, '{"pid":')
    lockFile(path())()
  })

  it('of another machine is not: nobody here knows whether its owner lives', () => {
    writeFileSync(`${path()}.lock`, JSON.stringify({ pid: 1, started: '1', host: 'elsewhere', token: 'x' }))
    expect(thrownBy(() => lockFile(path()))).toBe('file.locked')
  })

  it('left half taken over by a crash is free after a while', () => {
    const lock = `${path()}.lock`
    writeFileSync(lock, JSON.stringify({ pid: process.pid, started: '1', host: hostname(), token: 'x' }))
    const takeover = `${lock}.takeover`
    mkdirSync(takeover)
    expect(thrownBy(() => lockFile(path()))).toBe('file.locked')
    utimesSync(takeover, 0, 0)
    expect(thrownBy(() => lockFile(path()))).toBe('file.locked')
    lockFile(path())()
  })
})
