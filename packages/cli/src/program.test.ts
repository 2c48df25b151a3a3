/** The command line as its users meet it: a process with standard output, standard error and an exit code. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nobleSigner } from '@smartlayer/protocol'
import { createIntegration, formatSavedProof, publish, readPlace, saveProof, signFact } from '@smartlayer/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { CONTRACT, FakeNetwork, keyOf, RESULT, TOKEN } from '../../sdk/src/server/testing/fake-network.ts'
import { savedFactShape } from './command-line/saved-fact.ts'

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))
const COMMANDS = [
  'dev',
  'status',
  'query',
  'attest',
  'attest revoke',
  'attest epoch',
  'attest resend',
  'streams',
  'streams show',
  'streams tail',
  'verify',
  'token build',
  'token publish',
  'token where',
  'token history',
  'token export',
  'token restore',
  'token retire',
  'secrets set',
  'node status',
  'node drain',
  'node rotate-key',
  'logs',
]

let folder: string
const file = (name: string) => join(folder, name)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'smart-layer-cli-'))
  const net = new FakeNetwork()
  await net.start()
  const signer = nobleSigner(keyOf(77))
  const { site, query } = await createIntegration({ anchors: net.anchorUrls, trust: net.trust, signer })
  const saved = formatSavedProof(saveProof(site, await query({ token: TOKEN, method: 'status' })))
  const issuer = { issuer: signer, contract: CONTRACT, chainId: 31_337n, lane: 'flights' }
  const place = await readPlace(site, issuer, 'LH454')
  const item = signFact(site, issuer, { fact: { subset: 'LH454', body: { delay: 95 } }, place })
  const fact = { network: net.info, lane: 'flights', fact: item, receipt: await publish(site, item) }
  await net.stop()
  const factJson = JSON.stringify(savedFactShape.toJson(fact))
  writeFileSync(file('fact.json'), factJson)
  writeFileSync(file('changed-fact.json'), factJson.replace(/(delay\\?":)95/, '$196'))
  const few = { ...fact, receipt: { ...fact.receipt, signatures: fact.receipt.signatures.slice(0, 2) } }
  writeFileSync(file('few-receipts.json'), JSON.stringify(savedFactShape.toJson(few)))
  writeFileSync(file('answer.json'), saved)
  const other = JSON.parse(saved)
  writeFileSync(file('network.json'), JSON.stringify(other.network))
  const stranger = { ...other.network, registry: `0x${'dd'.repeat(20)}` }
  writeFileSync(file('other-network.json'), JSON.stringify(stranger))
  other.answer.result = RESULT.replace('95', '15')
  writeFileSync(file('tampered.json'), JSON.stringify(other))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function sl(...args: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', MAIN, ...args])
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  child.stderr.on('data', (chunk) => {
    err += chunk
  })
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })))
}

describe('help', () => {
  it('names every command', async () => {
    const { code, out, err } = await sl('--help')
    expect([code, err]).toEqual([0, ''])
    for (const name of COMMANDS) expect(out).toContain(`  ${name.split(' ')[0]}`)
  })

  it.each(COMMANDS)('of %s has two examples and the common flags', async (name) => {
    const { code, out } = await sl(...name.split(' '), '--help')
    expect(code).toBe(0)
    expect(out.split(`$ sl ${name}`).length - 1).toBe(2)
    for (const flag of ['--json', '--network', '--folder', '--port-base', '--no-color']) expect(out).toContain(flag)
  })
})

describe('a command line that is not understood', () => {
  it('ends with 2 and suggests the nearest command', async () => {
    const { code, out, err } = await sl('statsu')
    expect([code, out]).toEqual([2, ''])
    expect(err).toContain('did you mean status?')
    expect(err).toContain('fix: ')
    expect(err).toContain('code: cli.usage')
  })

  it('suggests the nearest flag, as JSON when asked', async () => {
    const { code, out, err } = await sl('status', '--jsn', '--json')
    expect([code, out]).toEqual([2, ''])
    expect(JSON.parse(err).error).toMatchObject({ code: 'cli.usage', retryable: false })
    expect(err).toContain('did you mean --json?')
  })

  it.each([
    ['a flag out of range', ['status', '--port-base', '80'], '1024'],
    ['a missing flag', ['query', TOKEN, 'status'], '--key'],
    ['arguments that are not JSON', ['query', TOKEN, 'status', '--key', 'none', '--args', '{'], '--args'],
    ['a missing argument', ['verify'], 'file'],
  ])('says what is wrong with %s', async (_, args, word) => {
    const { code, out, err } = await sl(...args)
    expect([code, out]).toEqual([2, ''])
    expect(err).toContain(word)
  })

  it('has no flag for the value of a secret', async () => {
    const { code, err } = await sl('secrets', 'set', 'HOTEL_KEY', '--contract', `0x${'5f'.repeat(20)}`, '--value', 'x')
    expect(code).toBe(2)
    expect(err).toContain('--value-file')
  })
})

describe('what is not there', () => {
  it('is named with exit code 4', async () => {
    const { code, err } = await sl('verify', file('none.json'))
    expect(code).toBe(4)
    expect(err).toContain(file('none.json'))
  })

  it('a network that never ran', async () => {
    const { code, err } = await sl('status', '--folder', file('empty'))
    expect(code).toBe(4)
    expect(err).toContain('npm start')
  })

  it('a node that does not answer ends with 6', async () => {
    const { code, err } = await sl('status', '--network', 'http://127.0.0.1:9')
    expect(code).toBe(6)
    expect(err).toContain('code: network.unreachable')
  })
})

describe('sl verify', () => {
  it('accepts an untouched answer offline, by the members in the file or by trusted ones', async () => {
    const alone = await sl('verify', file('answer.json'))
    expect(alone).toMatchObject({ code: 0, err: '' })
    expect(alone.out).toContain('judged by the members that the file itself names')
    expect(alone.out).not.toContain('✖')
    const trusting = await sl('verify', file('answer.json'), '--trust', file('network.json'), '--json')
    expect(trusting.code).toBe(0)
    expect(JSON.parse(trusting.out)).toMatchObject({ ok: true })
  })

  it('refuses a changed result with its reason on standard error', async () => {
    const { code, out, err } = await sl('verify', file('tampered.json'))
    expect(code).toBe(3)
    expect(out).toContain('✖ content')
    expect(err).toContain('code: attestation.content')
  })

  it('refuses an answer of another network than the trusted one', async () => {
    const { code, err } = await sl('verify', file('answer.json'), '--trust', file('other-network.json'))
    expect(code).toBe(3)
    expect(err).toContain('code: request.signature')
  })

  it('accepts a published fact with its receipt', async () => {
    expect(await sl('verify', file('fact.json'))).toMatchObject({ code: 0, err: '' })
  })

  it.each([
    ['a changed body', 'changed-fact.json', 'attestation.content', 3],
    ['a receipt that too few anchors signed', 'few-receipts.json', 'stream.no_quorum', 6],
  ])('refuses a fact with %s', async (_, name, reason, exit) => {
    const { code, err } = await sl('verify', file(name))
    expect(code).toBe(exit)
    expect(err).toContain(`code: ${reason}`)
  })

  it('refuses what is no such file', async () => {
    writeFileSync(file('noise.json'), '{"answer":1}')
    expect((await sl('verify', file('noise.json'))).code).toBe(2)
  })
})

describe('sl logs', () => {
  /** A node that names both nodes as members and shows these events. */
  async function node(events: readonly object[], apis: () => readonly string[]) {
    const server = createServer((_, response) => {
      const info = JSON.parse(readFileSync(file('network.json'), 'utf8'))
      const members = apis().map((api, i) => ({ ...info.members[i], api }))
      response.end(JSON.stringify({ ...info, members }))
    })
    const sockets = new WebSocketServer({ server })
    sockets.on('connection', (socket) => {
      for (const event of events) socket.send(JSON.stringify(event))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const close = () => {
      for (const client of sockets.clients) client.terminate()
      server.close()
    }
    return { api: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close }
  }

  it('merges what nodes say by time, and lets no node steer the terminal', async () => {
    const at = (sequence: number, time: number, event: string) => ({ sequence, time, level: 'info', event, facts: {} })
    const apis: string[] = []
    const nodes = [
      await node([at(1, 1_000, 'first'), at(2, 3_000, 'third')], () => apis),
      await node([at(1, 2_000, 'second\u001b[2J'), at(2, 4_000, 'fourth')], () => apis),
    ]
    apis.push(...nodes.map(({ api }) => api))
    const { code, out } = await sl('logs', '--network', apis[0]!)
    for (const { close } of nodes) close()
    expect(code).toBe(0)
    expect(out.split('\n').map((line) => /first|second|third|fourth/.exec(line)?.[0])).toEqual([
      'first',
      'second',
      'third',
      'fourth',
      undefined,
    ])
    expect(out).not.toContain('\u001b')
  })
})
