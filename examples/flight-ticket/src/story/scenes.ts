/** The scenes of the flight story: each does something real and returns the ids under which it can be looked up. */
import { join } from 'node:path'
import { bundleNode } from '@smartlayer/cli'
import { isSmartLayerError, nobleSigner } from '@smartlayer/protocol'
import { type IssuerParameters, publish, readPlace, type Site, signFact } from '@smartlayer/sdk'
import type { Airline } from '../airline.ts'
import { DATE, type FlightDemo } from '../demo.ts'
import { ALTERED_REDUCER } from './broken.ts'
import { membersChange } from './epochs.ts'
import { type Evidence, eventually, expect, type Scene, type Stage } from './stage.ts'

const LANE = 'flights'
const CUT_OFF_MS = 30_000
const ALTERED_ATTEMPTS = 3

/** The code with which something is refused; `accepted` when it is not. */
async function refusal(attempt: () => Promise<unknown>): Promise<string> {
  try {
    await attempt()
    return 'accepted'
  } catch (error) {
    if (isSmartLayerError(error)) return error.code
    throw error
  }
}

export const SCENES: readonly Scene[] = [
  {
    name: 'token published: script by contract, hash and signature',
    play: published,
  },
  {
    name: 'ticket issued: minted on chain and attested',
    async play(stage) {
      const token = stage.demo.token()
      const placement = await stage.ask(token)
      expect(
        placement.value.flight !== '' || (await stage.until(token, (s) => s.flight !== '')),
        'the ticket has no flight',
      )
      return { token, flight: (await stage.status(token)).flight }
    },
  },
  {
    name: 'grant signed by the holder for one site, checked by anchors',
    async play(stage) {
      const { grant, checks } = await stage.grant(stage.demo.token())
      expect(grant.holder === stage.demo.holder.address, `signed by ${grant.holder}`)
      expect(checks.length >= 2, `${checks.length} checks`)
      const { holder, audience, origin, scopes } = grant
      return { grant: checks[0]!.check.grant, holder, audience, origin, scopes, checks: checks.length }
    },
  },
  {
    name: 'query verified: placement quorum, registered node, signature, context, request',
    async play(stage) {
      const { proof, answer, node } = await stage.ask(stage.demo.token())
      expect(proof.ok && proof.checks.length >= 7, proof.summary)
      expect(proof.summary.includes('no enclave evidence'), 'the verdict hides that there is no enclave')
      return { node, n: String(answer.n), root: answer.stateRoot, checks: proof.checks.map((check) => check.name) }
    },
  },
  {
    name: 'without a grant refused',
    async play({ demo }) {
      const code = await refusal(() => demo.smartLayer.token(demo.token()).call('status'))
      expect(code === 'grant.missing', `refused with ${code}`)
      return { code }
    },
  },
  {
    name: 'delay attested: every replica at the same root, lounge granted on each',
    async play(stage) {
      const token = stage.demo.token()
      const { item, receipt } = await stage.demo.airline.delay('LH454', DATE, 180)
      stage.lastDelay = item
      await stage.until(token, (status) => status.delayMinutes === 180 && status.lounge)
      const roots = await eventually('equal roots on three replicas', async () => {
        const hosts = await stage.hosts(token)
        const at = hosts.map(({ status }) => `${status.confirmed}:${status.stateRoot}`)
        return hosts.length === 3 && new Set(at).size === 1 ? at : undefined
      })
      return { uid: receipt.receipt.uid, sequence: String(receipt.receipt.sequence), root: roots[0] }
    },
  },
  {
    name: 'hotel rebooked by exactly one node',
    async play(stage) {
      await stage.until(stage.demo.token(), (status) => status.hotel === 'rebooked')
      const rows = stage.demo.hotel.rebookings()
      const requests = stage.demo.hotel.requests()
      expect(rows.length === 1 && requests.length === 1, `${rows.length} rebookings from ${requests.length} requests`)
      return { effect: rows[0]!.effect, node: requests[0]!.node, term: requests[0]!.term }
    },
  },
  {
    name: 'same delay again, replayed with another body, out of order, by a wrong key, for another chain: each with its own code',
    play: refusedFacts,
  },
  {
    name: 'a replica with an altered reducer is seen, and its answer never leaves',
    play: alteredReplica,
  },
  {
    name: 'executor killed in the middle of the hotel call: one rebooking, by the next term',
    async play(stage) {
      return killedInTheMiddle(stage, {
        flight: 'LH500',
        airline: stage.demo.airline,
        deduplicates: true,
        hotel: 'rebooked',
      })
    },
  },
  {
    name: 'executor killed and the hotel cannot recognise repeats: uncertain, never twice',
    async play(stage) {
      return killedInTheMiddle(stage, {
        flight: 'LH600',
        airline: stage.demo.airlineOnce,
        deduplicates: false,
        hotel: 'uncertain',
      })
    },
  },
  {
    name: 'hotel down: three failed attempts, then awaiting failure attestation, which nobody signs',
    play: hotelDown,
  },
  {
    name: 'one anchor killed: the story continues',
    async play(stage) {
      const { network } = stage.demo
      network.nodes.get('anchor-2')!.signal('SIGKILL')
      const token = await stage.ticket('LH700')
      await stage.until(token, (status) => status.flight === 'LH700')
      await stage.demo.airline.delay('LH700', DATE, 130)
      const status = await stage.until(token, ({ hotel }) => hotel === 'rebooked')
      await network.restart('anchor-2')
      return { token, delayMinutes: status.delayMinutes }
    },
  },
  {
    name: 'a replica cut off from everybody for 30 s: the story goes on without it, and it catches up',
    play: cutOff,
  },
  {
    name: 'a fifth anchor joins, an epoch ends, homes are drawn anew and the executor is drained: no fact is lost, one rebooking',
    play: membersChange,
  },
  { name: 'two entries at one place: the fork is proven and the stream is frozen', play: forked },
]

/** The file is found by the contract alone; a changed or unsigned copy is refused, and the refusal says where. */
async function published({ demo }: Stage): Promise<Evidence> {
  const { contract, scriptUri } = demo.file
  const { api } = demo.network.layout.nodes[0]!
  const text = await (await fetch(`${api}/ipfs/${scriptUri.replace('ipfs://', '')}`)).text()
  const refused = async (copy: string) => {
    const headers = { 'content-type': 'application/octet-stream' }
    const response = await fetch(`${api}/v1/scripts`, { method: 'POST', headers, body: new TextEncoder().encode(copy) })
    return (await response.json()) as { code?: string; detail?: string }
  }
  const tampered = await refused(text.replace('Flight ticket', 'Flight tickets'))
  const unsigned = await refused(text.replace(/<ds:Signature[\s\S]*<\/ds:Signature>/, ''))
  expect(
    tampered.code === 'script.signature_invalid' && /^Line \d+, column \d+/.test(tampered.detail ?? ''),
    `tampered: ${tampered.code}`,
  )
  expect(unsigned.code === 'script.unsigned', `unsigned: ${unsigned.code}`)
  return { contract, scriptUri, tampered: tampered.detail, unsigned: unsigned.code }
}

async function refusedFacts({ demo, lastDelay }: Stage): Promise<Evidence> {
  expect(lastDelay, 'no delay was published')
  const { site } = demo.smartLayer
  const issuer: IssuerParameters = {
    issuer: nobleSignerOf(demo),
    contract: demo.file.contract,
    chainId: BigInt(demo.network.file.chainId),
    lane: LANE,
  }
  const subset = `flight-status/LH454/${DATE}`
  const fact = { subset, body: { delayMinutes: 180 } }
  const place = await readPlace(site, issuer, subset)
  const signed = (at: typeof place, by = issuer, using: Site = site) => signFact(using, by, { fact, place: at })
  const before = { ...place, stream: { ...place.stream, sequence: place.stream.sequence - 1n } }
  const ahead = { ...place, stream: { ...place.stream, sequence: place.stream.sequence + 5n } }
  const stranger: IssuerParameters = {
    ...issuer,
    issuer: { ...nobleSigner(`0x${'77'.repeat(32)}`), address: issuer.issuer.address },
  }
  const otherChain: Site = {
    ...site,
    network: { ...site.network, easDomain: { ...site.network.easDomain, separator: `0x${'11'.repeat(32)}` } },
  }
  const replayed = { ...lastDelay, body: '{"delayMinutes":999}' }
  const codes = {
    replayedWithOtherBody: await refusal(() => publish(site, replayed)),
    outOfOrder: await refusal(() => publish(site, signed(ahead))),
    wrongKey: await refusal(() => publish(site, signed(place, stranger))),
    otherChain: await refusal(() => publish(site, signed(place, issuer, otherChain))),
    againAsIs: await refusal(() => publish(site, lastDelay)),
  }
  expect(
    codes.replayedWithOtherBody === 'attestation.content',
    `replayed with another body: ${codes.replayedWithOtherBody}`,
  )
  expect(codes.outOfOrder === 'stream.sequence_gap', `out of order: ${codes.outOfOrder}`)
  expect(codes.wrongKey === 'attestation.signature', `wrong key: ${codes.wrongKey}`)
  expect(codes.otherChain === 'attestation.signature', `another chain: ${codes.otherChain}`)
  expect(codes.againAsIs === 'accepted', `publishing the very same entry again is safe: ${codes.againAsIs}`)
  const after = await readPlace(site, issuer, subset)
  expect(after.stream.sequence === place.stream.sequence && before, 'the stream moved')
  return codes
}

/** An issuer that signs two different entries for one place: proven, and nothing more is taken from it. */
async function forked({ demo }: Stage): Promise<Evidence> {
  const { site } = demo.smartLayer
  const issuer: IssuerParameters = {
    issuer: nobleSignerOf(demo),
    contract: demo.file.contractOnce,
    chainId: BigInt(demo.network.file.chainId),
    lane: LANE,
  }
  const subset = `flight-status/FORK/${DATE}`
  const place = await readPlace(site, issuer, subset)
  const { receipt } = await publish(
    site,
    signFact(site, issuer, { fact: { subset, body: { delayMinutes: 1 } }, place }),
  )
  const code = await refusal(() =>
    publish(site, signFact(site, issuer, { fact: { subset, body: { delayMinutes: 2 } }, place })),
  )
  expect(code === 'stream.fork', `two entries at one place: ${code}`)
  const next = await readPlace(site, issuer, subset)
  const after = await refusal(() =>
    publish(site, signFact(site, issuer, { fact: { subset, body: { delayMinutes: 3 } }, place: next })),
  )
  expect(after === 'stream.frozen', `after the fork: ${after}`)
  return { stream: receipt.stream, frozenAfter: String(receipt.sequence), code }
}

/** Everything that happens meanwhile reaches the replica afterwards: from anchors, in order, to the same root. */
async function cutOff(stage: Stage): Promise<Evidence> {
  const { network, airline } = stage.demo
  const flight = 'LH750'
  const token = await stage.ticket(flight)
  await stage.until(token, (status) => status.flight === flight)
  const hosts = await stage.hosts(token)
  const executor = await stage.nameOf(hosts[0]!.status.executor!)
  const replica = hosts.find(({ name }) => name !== executor)!.name
  await network.injectFaults(replica, { cut: 'all' })
  const until = Date.now() + CUT_OFF_MS
  let published = 0
  while (Date.now() < until) {
    await airline.delay(flight, DATE, 1 + (published++ % 90))
    await new Promise((resolve) => setTimeout(resolve, 400))
  }
  const meanwhile = await stage.until(token, ({ delayMinutes }) => delayMinutes === 1 + ((published - 1) % 90))
  const behind = (await stage.hosts(token)).find(({ name }) => name === replica)!.status.committed
  await network.injectFaults(replica, { cut: [] })
  const healed = Date.now()
  const caughtUp = await eventually(
    'the replica where the others are',
    async () => {
      const all = await stage.hosts(token)
      const own = all.find(({ name }) => name === replica)!.status
      const furthest = all.reduce((best, { status }) => (status.committed > best.committed ? status : best), own)
      const sameRoot = own.confirmed !== furthest.confirmed || own.stateRoot === furthest.stateRoot
      return own.committed > behind && own.committed === furthest.committed && sameRoot ? own : undefined
    },
    30_000,
  )
  return {
    replica,
    published,
    delayMinutes: meanwhile.delayMinutes,
    behind: String(behind),
    committed: String(caughtUp.committed),
    caughtUpMs: Date.now() - healed,
  }
}

function nobleSignerOf({ airlineKey }: FlightDemo) {
  return nobleSigner(airlineKey)
}

async function alteredReplica(stage: Stage): Promise<Evidence> {
  const { network } = stage.demo
  const flight = 'LH460'
  const token = await stage.ticket(flight)
  await stage.until(token, (status) => status.flight === flight)
  const altered = await bundleNode(join(network.layout.folder, 'bundles-altered'), ALTERED_REDUCER)
  const original = await bundleNode(join(network.layout.folder, 'bundles'))
  // While the node restarts, the next term may choose another one in its place: then that one is altered.
  for (let attempt = 1; ; attempt++) {
    const replica = await aReplica(stage, token)
    await network.restart(replica, altered.executor)
    const seen = await disputedAt(stage, { token, flight, replica }).catch((error: unknown) => {
      if (attempt === ALTERED_ATTEMPTS) throw error
    })
    if (seen !== undefined) {
      const answers = await Promise.all(Array.from({ length: 12 }, () => stage.status(token)))
      expect(
        answers.every(({ delayMinutes }) => delayMinutes % 2 === 0),
        'an altered answer left the network',
      )
      await network.restart(replica, original.executor)
      return { replica, disputed: seen, answers: answers.length }
    }
    await network.restart(replica, original.executor)
  }
}

/** One of the present replicas that does not execute. */
async function aReplica(stage: Stage, token: string): Promise<string> {
  return eventually('a replica beside the executor', async () => {
    const hosts = await stage.hosts(token)
    const newest = hosts.reduce((best, host) => (host.status.term > best.status.term ? host : best))
    const { executor, replicas } = newest.status
    const names = await Promise.all(replicas.filter((node) => node !== executor).map((node) => stage.nameOf(node)))
    return names.find((name) => hosts.some((host) => host.name === name))
  })
}

/** Facts make the altered reducer compute something else than the others: all true delays are even, its own are odd. */
async function disputedAt(
  stage: Stage,
  { token, flight, replica }: { token: string; flight: string; replica: string },
) {
  let minutes = 40
  const publish = () => {
    minutes += 2
    return stage.demo.airline.delay(flight, DATE, minutes)
  }
  const publishing = setInterval(() => publish().catch(() => undefined), 2_000)
  try {
    await publish()
    return await eventually('a replica that stands alone', async () => {
      return (await stage.hosts(token)).find(({ name }) => name === replica)?.status.disputed
    })
  } finally {
    clearInterval(publishing)
  }
}

async function killedInTheMiddle(
  stage: Stage,
  { flight, airline, deduplicates, hotel }: { flight: string; airline: Airline; deduplicates: boolean; hotel: string },
): Promise<Evidence> {
  const { demo } = stage
  const token = await stage.ticket(flight, airline)
  await stage.until(token, (status) => status.flight === flight)
  demo.hotel.deduplicates = deduplicates
  demo.hotel.delayMs = 900
  const before = demo.hotel.requests().length
  await airline.delay(flight, DATE, 200)
  const request = await eventually('the hotel call', async () => demo.hotel.requests()[before])
  const executor = await stage.nameOf(String(request.node))
  demo.network.nodes.get(executor)!.signal('SIGKILL')
  demo.hotel.delayMs = 0
  await stage.until(token, (status) => status.hotel === hotel, 20_000)
  await demo.network.restart(executor)
  demo.hotel.deduplicates = true
  const rows = demo.hotel.rebookings().filter((row) => row.flight === flight)
  expect(rows.length === 1, `${rows.length} rebookings`)
  return { token, killed: executor, effect: rows[0]!.effect, requests: demo.hotel.requests().length - before }
}

async function hotelDown(stage: Stage): Promise<Evidence> {
  const { demo } = stage
  const flight = 'LH800'
  const token = await stage.ticket(flight)
  await stage.until(token, (status) => status.flight === flight)
  demo.hotel.mode = 'error'
  await demo.airline.delay(flight, DATE, 240)
  const effect = await eventually('three failed attempts', async () => {
    const [host] = await stage.hosts(token)
    return host?.status.effects.find(({ status }) => status === 'awaiting failure attestation')
  })
  demo.hotel.mode = 'ok'
  expect(effect.failures === 3, `${effect.failures} failures`)
  expect((await stage.status(token)).hotel === 'rebooking', 'the token moved on without a failure attestation')
  return { token, effect: effect.id, status: effect.status }
}
