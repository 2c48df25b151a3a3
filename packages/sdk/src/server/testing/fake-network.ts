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
  Grant,
  GrantCheck,
  grantRequestShape,
  type Hex,
  instanceOf,
  keccakAddress,
  type Member,
  type NetworkInfo,
  NO_EVIDENCE,
  networkIdOf,
  networkInfoShape,
  nobleCrypto,
  nobleSigner,
  type Placement,
  type PlacementInfo,
  Placement as PlacementStruct,
  parseTokenRef,
  placementHash,
  placementInfoShape,
  publishRequestShape,
  Query,
  queryRequestShape,
  Receipt,
  type ReceiptInfo,
  Renew,
  receiptInfoShape,
  record,
  type Signer,
  SLInput,
  SLOutput,
  type StreamItem,
  signature,
  streamHeadShape,
  subsetHeadShape,
  textHash,
  toHex,
  tokenOf,
  uidOf,
  ZERO_32,
} from '@smartlayer/protocol'

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
  readonly timeS: bigint
  readonly lifeS: bigint
}

export class FakeNetwork {
  readonly signers = Array.from({ length: 8 }, (_, i) => nobleSigner(keyOf(i + 1)))
  readonly manners: Manners[] = this.signers.map(() => ({}))
  /** Requests that reached each node, as `METHOD path`. */
  readonly seen: string[][] = this.signers.map(() => [])
  readonly published: StreamItem[] = []
  readonly #servers: Server[] = []
  #urls: string[] = []
  readonly domain = domainOf(
    { name: 'SmartLayer', version: '1', chainId: CHAIN_ID, verifyingContract: REGISTRY },
    keccak,
  )
  readonly easDomain = easDomain({ chainId: CHAIN_ID, eas: EAS }, keccak)
  readonly networkId = networkIdOf(CHAIN_ID, REGISTRY, keccak)
  readonly instance = instanceOf(tokenOf(parseTokenRef(TOKEN), keccak), SCRIPT, keccak)

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
      epoch: 1n,
      beacon: `0x${'be'.repeat(32)}`,
      members: this.signers.map((_, i) => this.#member(i)).sort((a, b) => (a.node < b.node ? -1 : 1)),
      parameters: { leaseMs: 3_000n, epsilonMs: 200n, replicas: 3 },
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
    if (path.endsWith('/actions')) return this.#act(i, body)
    if (path === '/v1/attestations') return this.#publish(i, body)
    const [, , , stream, , subset] = path.split('/') as Hex[]
    return path.startsWith('/v1/streams/') ? this.#head(i, stream!, subset) : undefined
  }

  #query(i: number, body: unknown): unknown {
    const { query } = queryRequestShape.parse(body, 'body')
    const requestHash = toHex(digestOf(Query, query, this.domain, keccak))
    return this.#answer(i, { audience: query.audience, requestHash, method: query.method, result: RESULT })
  }

  #act(i: number, body: unknown): unknown {
    const action: Action = actionRequestShape.parse(body, 'body').action
    const requestHash = toHex(digestOf(ActionStruct, action, this.domain, keccak))
    const result = '{"n":"12","refused":""}'
    return this.#answer(i, { audience: action.audience, requestHash, method: action.name, result })
  }

  #answer(i: number, asked: Pick<Facts, 'audience' | 'requestHash' | 'method' | 'result'>): unknown {
    const timeS = BigInt(Math.floor(Date.now() / 1000))
    const facts: Facts = { ...asked, signer: this.signers[i]!, root: ROOT, n: 12n, timeS, lifeS: 300n }
    const sign = (changes: Partial<Facts>) => this.#sign({ ...facts, ...changes })
    const answer = sign({})
    return answerShape.toJson(this.manners[i]!.answer?.(answer, { facts, sign }) ?? answer)
  }

  #sign({ signer, audience, requestHash, method, result, root, n, timeS, lifeS }: Facts): Answer {
    const data = {
      token: tokenOf(parseTokenRef(TOKEN), keccak),
      stream: this.instance,
      sequence: n,
      audience: keccakAddress(audience, keccak),
      request: requestHash,
      result: textHash(result, nobleCrypto),
      context: answerContext(this.networkId, { scriptHash: SCRIPT, method, stateRoot: root }, keccak),
      evidence: ZERO_32,
    }
    const about = { recipient: CONTRACT, time: timeS, expirationTime: timeS + lifeS, salt: ZERO_32 }
    const attestation = attest(SLOutput, data, about, { signer, domain: this.easDomain, keccak })
    const roots = [4, 5].map((replica) => {
      const executed = { instance: this.instance, n: 12n, entry: ZERO_32, root: ROOT }
      return { executed, signature: this.signers[replica]!.sign(digestOf(Executed, executed, this.domain, keccak)) }
    })
    return { attestation, result, instance: this.instance, method, n, stateRoot: root, roots, evidence: NO_EVIDENCE }
  }

  #checkGrant(i: number, body: unknown): unknown {
    const { grant } = grantRequestShape.parse(body, 'body').grant
    const check = { grant: toHex(digestOf(Grant, grant, this.domain, keccak)), block: 1n, expires: grant.expires }
    const signed = { check, signature: this.signers[i]!.sign(digestOf(GrantCheck, check, this.domain, keccak)) }
    return record({ check: GrantCheck, signature }).toJson(signed)
  }

  #publish(i: number, body: unknown): unknown {
    const item = publishRequestShape.parse(body, 'body')
    const uid = uidOf(item.attestation.message, keccak)
    if (!this.published.some((known) => uidOf(known.attestation.message, keccak) === uid)) this.published.push(item)
    const manners = this.manners[i]!
    if (manners.loseReceipts) {
      manners.loseReceipts--
      return 'lost'
    }
    const { stream, epoch, sequence } = dataOf(SLInput, item.attestation.message)
    const receipt = { stream, epoch, sequence, uid }
    const digest = digestOf(Receipt, receipt, this.domain, keccak)
    const info: ReceiptInfo = { receipt, signatures: [0, 1, 2].map((anchor) => this.signers[anchor]!.sign(digest)) }
    return receiptInfoShape.toJson(info)
  }

  #head(i: number, stream: Bytes32, subset: Bytes32 | undefined): unknown {
    const said = this.manners[i]!.sequence ?? same
    const last = this.published.at(-1)
    const head = last ? uidOf(last.attestation.message, keccak) : ZERO_32
    const sequence = said(BigInt(this.published.length))
    if (subset) return subsetHeadShape.toJson({ stream, subset, sequence, head })
    return streamHeadShape.toJson({ stream, epoch: 1n, sequence, head, frozenAfter: undefined })
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
