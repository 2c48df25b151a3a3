/** Issuing from the command line: processes that are stopped, killed and started again beside each other. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nobleCrypto, nobleSigner, readData, uidOf } from '@smartlayer/protocol'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { CONTRACT, FakeNetwork, keyOf } from '../../../sdk/src/server/testing/fake-network.ts'
import { runCommand } from '../program.ts'

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url))
const ISSUER = nobleSigner(keyOf(77)).address
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

let net: FakeNetwork
let folder: string
const file = (name: string) => join(folder, name)

beforeEach(async () => {
  net = new FakeNetwork()
  await net.start()
  folder = mkdtempSync(join(tmpdir(), 'attest-test-'))
  writeFileSync(file('issuer.key'), keyOf(77))
  writeFileSync(file('next.key'), keyOf(78))
})
afterEach(async () => {
  await net.stop()
  rmSync(folder, { recursive: true, force: true })
})

type Ended = { code: number | null; out: string; err: string }

const common = () => ['--network', net.anchorUrls[0]!, '--folder', folder]

function start(...args: readonly string[]) {
  const command = ['--conditions=source', '--disable-warning=ExperimentalWarning', MAIN, ...args, ...common()]
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] })
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  child.stderr.on('data', (chunk) => {
    err += chunk
  })
  const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, out, err })))
  return { child, ended }
}

/** The same inside this process, which is quicker. */
async function sl(...args: readonly string[]): Promise<Ended> {
  const said = { out: '', err: '' }
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((chunk) => {
      said[name === 'stdout' ? 'out' : 'err'] += chunk
      return true
    }),
  )
  try {
    const code = await runCommand([...args, ...common()])
    return { code, ...said }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

const issuing = (key = 'issuer.key') => ['--contract', CONTRACT, '--lane', 'flights', '--key', file(key)]
const attest = (subset: string, body: object, ...rest: readonly string[]) =>
  sl('attest', ...issuing(), '--subset', subset, '--body', JSON.stringify(body), ...rest)

const bodies = () => net.published.map(({ body }) => JSON.parse(body))
const numbers = () => bodies().flatMap(({ n }) => (n === undefined ? [] : [n]))
const uidAt = (i: number) => uidOf(net.published[i]!.attestation.message, nobleCrypto.keccak)

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 25))
  expect(holds()).toBe(true)
}

describe('sl attest', () => {
  it('publishes one fact, saves it, and sl verify believes it until it is taken back', async () => {
    const made = await attest('LH454', { n: 1 }, '--save', file('fact.json'))
    expect(made).toMatchObject({ code: 0 })
    expect(made.out).toContain('entry 1, 3 receipts')
    const verified = await sl('verify', file('fact.json'))
    expect(verified).toMatchObject({ code: 0, err: '' })
    expect(verified.out).toContain('4 of 4 anchors know of no revocation')
    const revoked = await sl('attest', 'revoke', uidAt(0).slice(0, 20), ...issuing(), '--reason', 'wrong flight')
    expect(revoked).toMatchObject({ code: 0, err: '' })
    expect(readData(net.published[1]!)?.subset).toBe(readData(net.published[0]!)?.subset)
    const after = await sl('verify', file('fact.json'))
    expect(after.code).toBe(3)
    expect(after.err).toContain('code: attestation.revoked')
    expect((await sl('verify', file('fact.json'), '--offline')).out).toContain('nobody was asked')
  })

  it('refuses a prefix that is of several ids, and one that is of none', async () => {
    writeFileSync(
      file('f.jsonl'),
      range(1, 40)
        .map((n) => `${JSON.stringify({ subset: 's', body: { n } })}\n`)
        .join(''),
    )
    await sl('attest', ...issuing(), '--file', file('f.jsonl'))
    const several = await sl('attest', 'revoke', '0x', ...issuing())
    expect(several.code).toBe(2)
    const uids = net.published.map((_, i) => uidAt(i))
    const digit = '0123456789abcdef'.split('').find((d) => uids.filter((uid) => uid[2] === d).length > 1)
    const ambiguous = await sl('attest', 'revoke', `0x${digit}`, ...issuing())
    expect(ambiguous.err).toContain('code: cli.ambiguous')
    const none = await sl('attest', 'revoke', `0x${'0'.repeat(30)}`, ...issuing())
    expect(none.err).toContain('code: stream.unknown')
    expect(net.published).toHaveLength(40)
  })

  it('says how to go on without its outbox, and does so when told', async () => {
    await attest('LH454', { n: 1 })
    rmSync(file('outbox'), { recursive: true })
    const refused = await attest('LH454', { n: 2 })
    expect(refused.code).toBe(5)
    expect(refused.err).toContain('code: stream.state_missing')
    expect(refused.err).toMatch(/--new-epoch.*--continue/)
    expect(await attest('LH454', { n: 2 }, '--continue')).toMatchObject({ code: 0 })
    rmSync(file('outbox'), { recursive: true })
    expect(await attest('LH454', { n: 3 }, '--new-epoch')).toMatchObject({ code: 0 })
    expect(readData(net.published.at(-1)!)).toMatchObject({ epoch: 2n, sequence: 4n })
  })

  it('changes its key, after which only the new one publishes', async () => {
    await attest('LH454', { n: 1 })
    const opened = await sl('attest', 'epoch', ...issuing(), '--reason', 'rotation', '--next-key', file('next.key'))
    expect(opened).toMatchObject({ code: 0, err: '' })
    expect((await attest('LH454', { n: 2 })).err).toContain('code: stream.key')
    const subset = ['--subset', 'LH454', '--body', '{"n":3}', '--save', file('fact.json')]
    const made = await sl('attest', ...issuing('next.key'), '--issuer', ISSUER, ...subset)
    expect(made).toMatchObject({ code: 0 })
    const verified = await sl('verify', file('fact.json'))
    expect(verified).toMatchObject({ code: 0 })
    expect(verified.out).toContain(`which ${ISSUER} named for this epoch`)
  })

  it.each([
    ['neither a file nor one fact', ['attest'], '--subset'],
    ['flags of one fact with a file', ['attest', '--file', 'x.csv', '--subset', 's'], '--subset is for one fact'],
    [
      'two ways to go on',
      ['attest', '--new-epoch', '--continue', '--subset', 's', '--body', '1'],
      'exclude each other',
    ],
    ['an unknown reason', ['attest', 'epoch', '--reason', 'boredom'], '--reason takes'],
  ])('refuses %s', async (_, args, word) => {
    const isBare = args.length === 1
    const ended = await sl(...args, ...(isBare ? [] : issuing()))
    expect(ended.code).toBe(2)
    expect(ended.err).toContain(word)
  })
})

describe('sl attest --file', () => {
  const count = 3_000
  const publishAll = () =>
    ['attest', ...issuing(), '--file', file('facts.csv'), '--subset-template', 'row/{row}'] as const
  beforeEach(() => {
    writeFileSync(
      file('facts.csv'),
      `row,n\n${range(1, count)
        .map((n) => `${n % 9},${n}\n`)
        .join('')}`,
    )
  })

  it('publishes a table with a summary, and then has nothing to do', async () => {
    const { code, out, err } = await sl(...publishAll(), '--json')
    expect([code, err]).toEqual([0, ''])
    const facts = { published: count, facts: count, first: '1', last: String(count), done: true, skippedCount: 0 }
    expect(JSON.parse(out)).toMatchObject(facts)
    expect((await sl(...publishAll())).out).toContain(`all ${count} facts are published already`)
    expect(numbers()).toEqual(range(1, count))
  })

  it('goes on after Ctrl-C and after kill -9 without gap or double, and lets nobody else in', async () => {
    const stopped = start(...publishAll())
    await until(() => net.published.length > 100)
    const other = await attest('LH454', { n: 0 })
    expect(other.err).toContain(`in use by process ${stopped.child.pid}`)
    stopped.child.kill('SIGINT')
    const { code, err } = await stopped.ended
    expect(code).toBe(6)
    expect(err).toContain('code: cli.stopped')
    const afterStop = net.published.length
    expect(afterStop).toBeLessThan(count)
    const killed = start(...publishAll())
    await until(() => net.published.length > afterStop + 100)
    killed.child.kill('SIGKILL')
    await killed.ended
    const last = await sl(...publishAll())
    expect(last).toMatchObject({ code: 0 })
    expect(last.out).toMatch(/went on after \d+ facts/)
    expect(numbers()).toEqual(range(1, count))
    for (const [place, uids] of net.streams.shown) expect(uids.size, place).toBe(1)
  })

  it('names bad lines before anything is signed, and leaves them out when told', async () => {
    writeFileSync(file('facts.csv'), 'row,n\n1,1\n2\n,3\n4,4\n')
    const refused = await sl(...publishAll())
    expect(refused.code).toBe(2)
    expect(refused.err).toContain('line 3: it has 1 cells, the header 2')
    expect(refused.err).toContain('line 4: column "row" is empty')
    expect(refused.err).toContain('and 1 more')
    expect([net.published.length, existsSync(file('facts.csv.progress.json'))]).toEqual([0, false])
    const left = await sl(...publishAll(), '--skip-bad')
    expect(left).toMatchObject({ code: 0 })
    expect(left.out).toContain('left out 2 lines')
    expect(numbers()).toEqual([1, 4])
    expect(JSON.parse(readFileSync(file('facts.csv.progress.json'), 'utf8'))).toMatchObject({ line: 5 })
  })
})

describe('sl streams', () => {
  beforeEach(async () => {
    await attest('LH454', { n: 1 })
    await attest('LH455', { n: 2 })
  })
  const id = () => [...net.streams.all.keys()][0]!

  it('lists them with what differs between anchors', async () => {
    net.manners[1]!.sequence = () => 1n
    const { code, out } = await sl('streams')
    expect(code).toBe(0)
    expect(out).toContain(id().slice(0, 14))
    expect(out).toContain('live')
    expect(out).toMatch(/anchor-\d lacks 1/)
    const [listed] = JSON.parse((await sl('streams', '--json')).out)
    expect(listed).toMatchObject({ stream: id(), issuer: ISSUER, sequence: '2', certified: '2', state: 'live' })
  })

  it('shows one by its beginning: heads, followers, and the fork when there is one', async () => {
    const shown = await sl('streams', 'show', id().slice(0, 8))
    expect(shown).toMatchObject({ code: 0, err: '' })
    expect(shown.out).toContain(`stream  ${id()}`)
    expect(shown.out).toContain('FOLLOWER')
    const [first, second] = net.published
    net.streams.all.get(id())!.fork = [first!, second!]
    expect((await sl('streams', 'show', id())).out).toContain('fork: the issuer signed two entries')
    expect((await sl('streams', 'show', '0x')).code).toBe(2)
    expect((await sl('streams', 'show', `0x${'e'.repeat(60)}`)).err).toContain('code: stream.unknown')
  })

  it('prints entries as they come, of all or of one subset', async () => {
    const all = await sl('streams', 'tail', id().slice(0, 8), '--after', '0', '--limit', '2', '--json')
    expect(
      all.out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).body),
    ).toEqual(['{"n":1}', '{"n":2}'])
    const live = start('streams', 'tail', id(), '--subset', 'LH455', '--limit', '1')
    await until(() => net.seen.flat().filter((request) => request.includes('/entries')).length > 6)
    await attest('LH454', { n: 3 })
    await attest('LH455', { n: 4 })
    expect((await live.ended).out).toContain('{"n":4}')
  })
})
