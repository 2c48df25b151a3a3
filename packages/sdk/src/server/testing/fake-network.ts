/** Four anchors and three replicas on loopback that sign as real nodes do, and that tests can make fail or lie. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  type Action,
  Action as ActionStruct,
  type Address,
  type Answer,
  actionRequestShape,
  answerContext,
  answerShape,
  attest,
  type Bytes32,
  dataOf,
  digestOf,
  domainOf,
  Executed,
  easDomain,
  forkProofShape,
  Grant,
  GrantCheck,
  grantRequestShape,
  type Hex,
  instanceOf,
  keccakAddress,
  LOCAL_DIRECTORY,
  type Member,
  type NetworkInfo,
  NO_EVIDENCE,
  type NodeStatus,
  networkIdOf,
  networkInfoShape,
  nobleCrypto,
  nobleSigner,
  type Placement,
  type PlacementInfo,
  Placement as PlacementStruct,
  PublicQuery,
  parseTokenRef,
  placementHash,
  placementInfoShape,
  publishRequestShape,
  Query,
  queryRequestShape,
  Receipt,
  type Refusal,
  Renew,
  receiptInfoShape,
  record,
  revocationInfoShape,
  type Signer,
  SLInput,
  SLOutput,
  type StreamItem,
  signature,
  statusShape,
  streamHeadShape,
  streamPageShape,
  subsetHeadShape,
  textHash,
  toHex,
  tokenOf,
  uidOf,
  ZERO_32,
  ZERO_ADDRESS,
} from '@smartlayer/protocol'
import { FakeStreams } from './fake-streams.ts'

const { keccak } = nobleCrypto
const CHAIN_ID = 31_337n
const REGISTRY: Address = `0x${'a0'.repeat(20)}`
const EAS: Address = `0x${'42'.repeat(20)}`
const SCRIPT: Bytes32 = `0x${'5c'.repeat(32)}`
const ROOT: Bytes32 = `0x${'07'.repeat(32)}`
export const CONTRACT: Address = `0x${'c0'.repeat(20)}`
export const TOKEN = `eip155:${CHAIN_ID}/erc721:${CONTRACT}/7`
export const RESULT = '{"delayMinutes":95}'

/** What a test does to one node: refuse all connections, answer late, or alter what it says. */
export type Manners = {
  dead?: boolean
  slowMs?: number
  placement?: (info: PlacementInfo) => PlacementInfo
  network?: (info: NetworkInfo) => NetworkInfo
  answer?: (answer: Answer, made: Made) => Answer
  sequence?: (sequence: bigint) => bigint
  /** Stores and signs, but the connection breaks before the receipt leaves. */
  loseReceipts?: number
  /** The connection breaks before anything is stored. */
  loseRequests?: number
  /** Refuses to publish, whatever it is. */
  refuse?: Refusal
}
/** What an answer is made from; `sign` makes another one. */
export type Made = { readonly facts: Facts; readonly sign: (facts: Partial<Facts>) => Answer }
export type Facts = {
  readonly signer: Signer
  readonly audience: Address
  readonly requestHash: Bytes32
  readonly method: string
  readonly result: string
  readonly root: Bytes32
  readonly n: bigint
  readonly term: bigint
  readonly asOf: bigint
  readonly stale: boolean
  readonly timeS: bigint
  readonly lifeS: bigint
}

export class FakeNetwork {
  readonly signers = Array.from({ length: 8 }, (_, i) => nobleSigner(keyOf(i + 1)))
  readonly manners: Manners[] = this.signers.map(() => ({}))
  /** Requests that reached each node, as `METHOD path`. */
  readonly seen: string[][] = this.signers.map(() => [])
  readonly streams: FakeStreams
  readonly #servers: Server[] = []
  #urls: string[] = []
  readonly domain = domainOf(
    { name: 'SmartLayer', version: '1', chainId: CHAIN_ID, verifyingContract: REGISTRY },
    keccak,
  )
  readonly easDomain = easDomain({ chainId: CHAIN_ID, eas: EAS }, keccak)
  readonly networkId = networkIdOf(CHAIN_ID, REGISTRY, keccak)
  readonly instance = instanceOf(tokenOf(parseTokenRef(TOKEN), keccak), SCRIPT, keccak)

  /** Issuers may write into these lanes of any token type. */
  constructor({ lanes = ['flights'] }: { lanes?: readonly string[] } = {}) {
    const { networkId, easDomain } = this
    this.streams = new FakeStreams({ networkId, easDomain, chainId: CHAIN_ID, lanes })
  }

  get published(): readonly StreamItem[] {
    return this.streams.published
  }

  /** Nodes 0–3 are anchors, 4–6 replicas, 7 a service node outside the placement. */
  async start(): Promise<void> {
    for (const [i] of this.signers.entries()) {
      const server = createServer((request, response) => {
        this.#serve(i, request, response).catch(() => request.socket.destroy()) // its caller gave up, or sent no JSON
      })
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
      this.#servers.push(server)
    }
    this.#urls = this.#servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  }

  async stop(): Promise<void> {
    for (const server of this.#servers) server.closeAllConnections()
    await Promise.all(this.#servers.map((server) => new Promise((done) => server.close(done))))
  }

  get anchorUrls(): readonly string[] {
    return this.#urls.slice(0, 4)
  }

  get trust() {
    return { chainId: CHAIN_ID, registry: REGISTRY }
  }

  get info(): NetworkInfo {
    return {
      networkId: this.networkId,
      chainId: CHAIN_ID,
      registry: REGISTRY,
      tokenRegistry: REGISTRY,
      eas: EAS,
      easVersion: '1.0.1',
      schedule: { genesisS: 0n, lengthS: 9_000_000_000_000n, closingS: 0n },
      epoch: 1n,
      beacon: `0x${'be'.repeat(32)}`,
      earlierBeacons: [],
      directory: { ...LOCAL_DIRECTORY, shardCount: 16, homeSize: 31 },
      members: this.signers.map((_, i) => this.#member(i)).sort((a, b) => (a.node < b.node ? -1 : 1)),
      parameters: { leaseMs: 3_000n, epsilonMs: 200n, staleReadsMs: 60_000n, replicas: 3 },
    }
  }

  /** A placement with the votes of the given anchors. */
  placement(changes: Partial<Placement> = {}, voters: readonly number[] = [0, 1, 2]): PlacementInfo {
    const placement: Placement = {
      instance: this.instance,
      term: 5n,
      incarnation: 1n,
      proposer: this.address(0),
      executor: this.address(4),
      replicas: [this.address(4), this.address(5), this.address(6)],
      headTerm: 0n,
      headN: 0n,
      headHash: ZERO_32,
      notBefore: 0n,
      expires: BigInt(Date.now()) + 60_000n,
      ...changes,
    }
    const digest = digestOf(PlacementStruct, placement, this.domain, keccak)
    const votes = voters.map((i) => this.signers[i]!.sign(digest))
    const certified = { placement, votes }
    return { token: TOKEN, instance: placement.instance, scriptHash: SCRIPT, certified, lease: undefined }
  }

  /** The placement with a renewal that the given anchors voted for. */
  renewed(info: PlacementInfo, expires: bigint, voters: readonly number[]): PlacementInfo {
    const renew = { placement: placementHash(info.certified.placement, this.domain, keccak), expires }
    const digest = digestOf(Renew, renew, this.domain, keccak)
    return { ...info, lease: { renew, votes: voters.map((i) => this.signers[i]!.sign(digest)) } }
  }

  address(i: number): Address {
    return this.signers[i]!.address
  }

  #member(i: number): Member {
    const role = i < 4 ? 'anchor' : 'service'
    const rest = { transportKey: ZERO_32, overlay: '', operator: ZERO_32, platform: ZERO_32, stake: 1n }
    return { node: this.address(i), role, api: this.#urls[i] ?? '', ...rest }
  }

  async #serve(i: number, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const manners = this.manners[i]!
    const path = decodeURIComponent(request.url ?? '')
    this.seen[i]!.push(`${request.method} ${path}`)
    if (manners.dead) return void request.socket.destroy()
    if (manners.slowMs) await new Promise((done) => setTimeout(done, manners.slowMs))
    const body = request.method === 'POST' ? await readJson(request) : undefined
    const json = this.#route(i, path, body)
    if (json === 'lost') return void request.socket.destroy()
    if (json instanceof Refused) {
      const { code, facts } = json.refusal
      const told = JSON.stringify({ code, facts, request_id: 'req_1' }, (_, value) =>
        typeof value === 'bigint' ? String(value) : value,
      )
      return void response.writeHead(409, { 'content-type': 'application/problem+json' }).end(told)
    }
    if (json === undefined) {
      const problem = { code: 'api.not_found', facts: { path }, request_id: 'req_1' }
      return void response.writeHead(404, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem))
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(json))
  }

  #route(i: number, path: string, body: unknown): unknown {
    const manners = this.manners[i]!
    if (path === '/v1/network') return networkInfoShape.toJson((manners.network ?? same)(this.info))
    if (path === `/v1/tokens/${TOKEN}/placement`) {
      return placementInfoShape.toJson((manners.placement ?? same)(this.placement()))
    }
    if (path.endsWith('/grants')) return this.#checkGrant(i, body)
    if (path.endsWith('/query')) return this.#query(i, body)
    if (path.includes('/queries/')) return this.#queryPublic(i, path)
    if (path.endsWith('/actions')) return this.#act(i, body)
    if (path === '/v1/attestations') return this.#publish(i, body)
    if (path === '/v1/status') return statusShape.toJson(this.#status(i))
    if (path.startsWith('/v1/revocations/')) {
      const item = this.streams.revocations.get(path.split('/')[3] as Hex)
      return item && revocationInfoShape.toJson({ item })
    }
    return path.startsWith('/v1/streams/') ? this.#stream(i, new URL(path, 'http://node')) : undefined
  }

  #query(i: number, body: unknown): unknown {
    const { query } = queryRequestShape.parse(body, 'body')
    const requestHash = toHex(digestOf(Query, query, this.domain, keccak))
    return this.#answer(i, { audience: query.audience, requestHash, method: query.method, result: RESULT })
  }

  #queryPublic(i: number, path: string): unknown {
    const { pathname, searchParams } = new URL(path, 'http://node')
    const method = pathname.slice(pathname.lastIndexOf('/') + 1)
    const args = textHash(searchParams.get('args') ?? 'null', nobleCrypto)
    const message = { token: tokenOf(parseTokenRef(TOKEN), keccak), method, args }
    const requestHash = toHex(digestOf(PublicQuery, message, this.domain, keccak))
    return this.#answer(i, { audience: ZERO_ADDRESS, requestHash, method, result: RESULT })
  }

  #act(i: number, body: unknown): unknown {
    const action: Action = actionRequestShape.parse(body, 'body').action
    const requestHash = toHex(digestOf(ActionStruct, action, this.domain, keccak))
    const result = '{"n":"12","refused":""}'
    return this.#answer(i, { audience: action.audience, requestHash, method: action.name, result })
  }

  #answer(i: number, asked: Pick<Facts, 'audience' | 'requestHash' | 'method' | 'result'>): unknown {
    const timeS = BigInt(Math.floor(Date.now() / 1000))
    const facts: Facts = {
      ...asked,
      signer: this.signers[i]!,
      root: ROOT,
      n: 12n,
      term: 5n,
      asOf: BigInt(Date.now()),
      stale: false,
      timeS,
      lifeS: 300n,
    }
    const sign = (changes: Partial<Facts>) => this.#sign({ ...facts, ...changes })
    const answer = sign({})
    return answerShape.toJson(this.manners[i]!.answer?.(answer, { facts, sign }) ?? answer)
  }

  #sign({ signer, audience, requestHash, method, result, root, n, term, asOf, stale, timeS, lifeS }: Facts): Answer {
    const basis = { scriptHash: SCRIPT, method, stateRoot: root, term, asOf, stale }
    const data = {
      token: tokenOf(parseTokenRef(TOKEN), keccak),
      stream: this.instance,
      sequence: n,
      audience: keccakAddress(audience, keccak),
      request: requestHash,
      result: textHash(result, nobleCrypto),
      context: answerContext(this.networkId, basis, keccak),
      evidence: ZERO_32,
    }
    const about = { recipient: CONTRACT, time: timeS, expirationTime: timeS + lifeS, salt: ZERO_32 }
    const attestation = attest(SLOutput, data, about, { signer, domain: this.easDomain, keccak })
    const roots = [4, 5].map((replica) => {
      const executed = { instance: this.instance, n: 12n, entry: ZERO_32, root: ROOT }
      return { executed, signature: this.signers[replica]!.sign(digestOf(Executed, executed, this.domain, keccak)) }
    })
    const position = { instance: this.instance, method, term, n, stateRoot: root, asOf, stale, ended: undefined }
    return { attestation, result, ...position, roots, evidence: NO_EVIDENCE }
  }

  #checkGrant(i: number, body: unknown): unknown {
    const { grant } = grantRequestShape.parse(body, 'body').grant
    const check = { grant: toHex(digestOf(Grant, grant, this.domain, keccak)), block: 1n, expires: grant.expires }
    const signed = { check, signature: this.signers[i]!.sign(digestOf(GrantCheck, check, this.domain, keccak)) }
    return record({ check: GrantCheck, signature }).toJson(signed)
  }

  #publish(i: number, body: unknown): unknown {
    const { items } = publishRequestShape.parse(body, 'body')
    this.streams.show(items)
    const manners = this.manners[i]!
    if (manners.loseRequests) {
      manners.loseRequests--
      return 'lost'
    }
    const refusal = manners.refuse ?? this.streams.take(items)
    if (refusal) return new Refused(refusal)
    if (manners.loseReceipts) {
      manners.loseReceipts--
      return 'lost'
    }
    const { message } = items.at(-1)!.attestation
    const { stream, epoch, sequence } = dataOf(SLInput, message)
    const receipt = { stream, epoch, sequence, uid: uidOf(message, keccak), homeEpoch: 1n }
    const digest = digestOf(Receipt, receipt, this.domain, keccak)
    const signatures = [0, 1, 2].map((anchor) => this.signers[anchor]!.sign(digest))
    return receiptInfoShape.toJson({ receipt, signatures, links: [] })
  }

  #stream(i: number, { pathname, searchParams }: URL): unknown {
    const [, , , id, what, subsetId, entries] = pathname.split('/')
    const [stream, subset] = [id as Hex, subsetId as Hex | undefined]
    const said = this.manners[i]!.sequence ?? same
    const { state, fork } = this.streams.of(stream)
    const isEntries = what === 'entries' || entries === 'entries'
    if (isEntries) {
      const asked = {
        after: BigInt(searchParams.get('after') ?? 0),
        limit: Math.min(64, Number(searchParams.get('limit') ?? 64)),
      }
      return streamPageShape.toJson({ items: this.streams.page(stream, subset, asked) })
    }
    if (what === 'fork') return fork && forkProofShape.toJson({ first: fork[0], second: fork[1] })
    if (what === 'checkpoint') return undefined
    if (subset) {
      const head = this.streams.subset(stream, subset)
      return subsetHeadShape.toJson({ stream: stream, subset, ...head, sequence: said(head.sequence) })
    }
    return streamHeadShape.toJson({ ...state, sequence: said(state.sequence), floor: 0n })
  }

  #status(i: number): NodeStatus {
    const now = BigInt(Date.now())
    const isAnchor = i < 4
    const said = this.manners[i]!.sequence ?? same
    const streams = [...this.streams.all.values()].map(({ state, entries }) => ({
      ...state,
      sequence: said(state.sequence),
      certified: said(state.certified),
      issuer: entries[0]?.issuer,
      checkpoint: 0n,
      floor: 0n,
      followers: 1,
      state: state.frozenAfter === undefined ? 'live' : 'frozen',
      reason: state.frozenAfter === undefined ? '' : `its issuer signed two entries for one place`,
    }))
    return {
      node: this.address(i),
      role: isAnchor ? 'anchor' : 'service',
      version: '0.1.0',
      evidence: 'no enclave evidence',
      ready: true,
      reason: '',
      startedAt: now,
      now,
      epoch: 1n,
      block: 1n,
      peers: [],
      instances: [],
      streams: isAnchor ? streams : [],
      followed: isAnchor ? [] : this.#followed(),
    }
  }

  #followed(): NodeStatus['followed'] {
    return [...this.streams.all].flatMap(([stream, { subsets }]) =>
      [...subsets].map(([subset, { sequence }]) => ({
        stream,
        subset,
        after: sequence,
        known: sequence,
        waiting: 0,
        state: 'live',
        reason: '',
      })),
    )
  }
}

/** What an anchor answers instead of a receipt. */
class Refused {
  readonly refusal: Refusal

  constructor(refusal: Refusal) {
    this.refusal = refusal
  }
}

export function keyOf(n: number): Hex {
  return `0x${n.toString(16).padStart(64, '0')}`
}

function same<T>(value: T): T {
  return value
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  let text = ''
  for await (const part of request) text += part
  return JSON.parse(text)
}
