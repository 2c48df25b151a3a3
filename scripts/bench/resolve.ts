/** Where a token lives, asked of anchors and verified, beside a js-libp2p kad-dht with as many nodes. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { nobleCrypto } from '@smartlayer/protocol'
import { resolve, type Site } from '@smartlayer/sdk'
import type { FlightDemo } from '../../examples/flight-ticket/src/demo.ts'
import { firstRecord, getRecord, KAD_KEY, kadNode } from './kad-node.ts'
import { median, quantile, type Row, row } from './row.ts'

const WARM = 30
const LOOKUPS = 200
/** Renewals come about once a second: the pauses let most lookups meet one that was not verified before. */
const PAUSE_MS = 20
const TARGET_MS = 5
const TARGET_RATIO = 0.1

export async function benchResolve(demo: FlightDemo): Promise<readonly Row[]> {
  const { site } = demo.smartLayer
  const token = demo.token()
  const fast = await measure(() => resolve(site, token, { anew: true }))
  const browser: Site = { ...site, crypto: nobleCrypto }
  const portable = await measure(() => resolve(browser, token, { anew: true }))
  const peer = await measureKad(demo.network.layout.nodes.length)
  return [
    row('resolve p50', 'ms', { ours: median(fast), target: { of: 'ours', at: 'most', value: TARGET_MS } }),
    row('resolve p50, beside get of kad-dht', 'ms', {
      ours: median(fast),
      peer: median(peer.get),
      target: { of: 'ratio', at: 'most', value: TARGET_RATIO },
    }),
    row('resolve p50, beside the first record that kad-dht sees', 'ms', {
      ours: median(fast),
      peer: median(peer.first),
    }),
    row('resolve p99', 'ms', { ours: quantile(fast, 0.99), peer: quantile(peer.get, 0.99) }),
    row('resolve p50 with the crypto of a browser', 'ms', { ours: median(portable) }),
    row('resolve p99 with the crypto of a browser', 'ms', { ours: quantile(portable, 0.99) }),
  ]
}

async function measure(lookUp: () => Promise<unknown>): Promise<readonly number[]> {
  const taken: number[] = []
  for (let i = 0; i < WARM + LOOKUPS; i++) {
    const started = performance.now()
    await lookUp()
    if (i >= WARM) taken.push(performance.now() - started)
    await new Promise((done) => setTimeout(done, PAUSE_MS))
  }
  return taken
}

/** The peer's nodes run in a process of their own; its client, like ours, is here. Its records carry no votes to check. */
async function measureKad(nodes: number) {
  const host = fork(fileURLToPath(new URL('kad-host.ts', import.meta.url)), [String(nodes)])
  const client = await kadNode({ clientMode: true })
  try {
    const addresses = await addressesOf(host)
    await client.join(addresses)
    return {
      get: await measure(() => getRecord(client.libp2p, KAD_KEY)),
      first: await measure(() => firstRecord(client.libp2p, KAD_KEY)),
    }
  } finally {
    await client.libp2p.stop()
    host.kill('SIGKILL')
    if (host.exitCode === null && host.signalCode === null) await once(host, 'exit')
  }
}

function addressesOf(host: ChildProcess): Promise<readonly string[]> {
  return new Promise((done, fail) => {
    host.once('message', (addresses: readonly string[]) => done(addresses))
    host.once('exit', () => fail(new Error('the nodes of kad-dht ended')))
  })
}
