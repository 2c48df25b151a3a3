/** A whole network in memory, on a virtual clock: for tests that follow one story through all services. */
import {
  type Address,
  ANY_FRESHNESS,
  attest,
  canonicalJson,
  type Domain,
  digestOf,
  domainOf,
  type Expiry,
  easDomain,
  type Freshness,
  formatTokenRef,
  fromHex,
  type Hex,
  homesOver,
  INPUT_KINDS,
  inputContext,
  instanceOf,
  KEEP_ALL,
  LOCAL_DIRECTORY,
  laneOf,
  type Membership,
  networkIdOf,
  Query,
  type QueryRequest,
  SLInput,
  SmartLayerError,
  type StreamItem,
  streamOf,
  subsetOf,
  type TokenRef,
  textHash,
  toHex,
  tokenOf,
  tokenTypeOf,
  uidOf,
  utf8,
  ZERO_32,
} from '@smartlayer/protocol'
import { fastCrypto } from '../adapters/fast-crypto.ts'
import { storeLog } from '../adapters/store-log.ts'
import { AnchoringNode } from '../anchoring-node.ts'
import { LOCAL_PARAMETERS, type LoadedToken, type NetworkParameters, type NodeContext } from '../context.ts'
import type { Clock } from '../ports/clock.ts'
import type { OutboundRequest, OutboundResult } from '../ports/egress.ts'
import type { Http } from '../ports/http.ts'
import type { Network } from '../ports/network.ts'
import type { Ports } from '../ports/ports.ts'
import type { CallResult } from '../ports/sandbox.ts'
import type { Store, Write } from '../ports/store.ts'
import { ServiceNode } from '../service-node.ts'

/** A virtual minute has thousands of signatures. */
const { crypto, signer: signerOf } = await fastCrypto()
const { keccak } = crypto
const LANE = 'facts'
const SUBSET = 'facts/one'
const START = 1_700_000_000_000n
const BLOCK = { number: 1n, hash: ZERO_32, timestamp: 0n }

/** Events in order of virtual time; one macrotask turn lets promises settle between two of them. */
export class VirtualTime {
  #queue: { at: number; order: number; run: () => void }[] = []
  #order = 0
  now = 0

  at(delayMs: number, run: () => void): () => void {
    const event = { at: this.now + delayMs, order: this.#order++, run }
    this.#queue.push(event)
    this.#queue.sort((a, b) => a.at - b.at || a.order - b.order)
    return () => {
      this.#queue = this.#queue.filter((other) => other !== event)
    }
  }

  async run(ms: number): Promise<void> {
    const end = this.now + ms
    await turn()
    while (this.#queue[0] && this.#queue[0].at <= end) {
      const next = this.#queue.shift()!
      this.now = next.at
      next.run()
      await turn()
    }
    this.now = end
  }
}

export type WorldOptions = {
  readonly anchorCount?: number
  readonly serviceCount?: number
  readonly parameters?: Partial<NetworkParameters>
  /** Instances that each service node would host; as many as it can by default. */
  readonly capacity?: (service: Address) => number | undefined
  /** How anchors ask service nodes as clients do. */
  readonly http?: Http
  /** Which network it is: its registry. */
  readonly registry?: Address
  /** Where clients reach a node. */
  readonly apiOf?: (node: number) => string
  /** When the instance expires. */
  readonly expiry?: Expiry
  /** Where the virtual clock stands at first, in ms. */
  readonly startsAt?: number
  /** Tokens beside the one that counts. */
  readonly others?: readonly OtherToken[]
}
/** A token with a script of the test's own: by method, what it makes of its input. */
export type OtherToken = {
  readonly contract: Address
  readonly tokenId: bigint
  readonly script: Readonly<Record<string, (input: never) => unknown>>
  readonly change?: Partial<LoadedToken>
  readonly rules?: Partial<LoadedToken['rules']>
}
export type Outside = (request: OutboundRequest) => OutboundResult

export class MemoryWorld {
  readonly time = new VirtualTime()
  readonly anchors: AnchoringNode[] = []
  readonly services: ServiceNode[] = []
  readonly requests: OutboundRequest[] = []
  /** All nodes, anchors first. */
  readonly addresses: readonly Address[]
  /** Links that carry nothing, as `FROM>TO`. */
  readonly cutLinks = new Set<string>()
  /** Calls of the script at all nodes, by method. */
  readonly calls = new Map<string, number>()
  readonly ref: TokenRef = { chainId: 1n, contract: `0x${'c0'.repeat(20)}`, tokenId: 7n }
  readonly issuer = signerOf(keyOf(99))
  readonly holder = signerOf(keyOf(96))
  /** Owns the contract. */
  readonly owner = signerOf(keyOf(97))
  outside: Outside = () => ({ end: 'answer', status: 200, body: '{}', signature: undefined })
  readonly #registry: Address
  readonly domain: Domain
  readonly easDomain = easDomain({ chainId: 1n, eas: `0x${'42'.repeat(20)}` }, keccak)
  readonly #handlers = new Map<Address, (from: Address, message: unknown) => void>()
  /** Messages from and to a node take so many milliseconds longer. */
  readonly delays = new Map<Address, number>()
  /** Nodes that nothing reaches and that reach nobody. */
  readonly cuts = new Set<Address>()
  /** What a node sends instead of a message. */
  readonly tampers = new Map<Address, (message: { type: string }) => readonly object[]>()
  readonly #options: WorldOptions
  readonly #membership: Membership
  readonly token: LoadedToken
  /** All tokens by instance: the one that counts, then the others. */
  readonly #tokens: ReadonlyMap<Hex, { readonly token: LoadedToken; readonly script: OtherToken['script'] | undefined }>
  #asked = 0
  #last = { sequence: 0n, uid: ZERO_32 as Hex }

  constructor(options: WorldOptions = {}) {
    const { anchorCount = 4, serviceCount = 3, http, capacity } = options
    this.#options = options
    this.#registry = options.registry ?? `0x${'a0'.repeat(20)}`
    this.domain = domainOf({ name: 'SmartLayer', version: '1', chainId: 1n, verifyingContract: this.#registry }, keccak)
    this.time.now = options.startsAt ?? 0
    const keys = Array.from({ length: anchorCount + serviceCount }, (_, i) => keyOf(i + 1))
    this.#membership = {
      epoch: 1n,
      beacon: `0x${'be'.repeat(32)}`,
      earlierBeacons: [],
      directory: { ...LOCAL_DIRECTORY, shardCount: 16, homeSize: 31 },
      members: keys.map((key, i) => ({
        node: signerOf(key).address,
        role: i < anchorCount ? 'anchor' : 'service',
        transportKey: ZERO_32,
        overlay: '',
        api: options.apiOf?.(i) ?? `http://node-${i}.test`,
        operator: ZERO_32,
        platform: ZERO_32,
        stake: 1n,
      })),
    }
    this.addresses = this.#membership.members.map(({ node }) => node)
    this.token = this.#loadedToken()
    const endOfTurn = (run: () => void) => void this.time.at(0, run)
    const loaded = (options.others ?? []).map((other) => ({ token: this.#otherToken(other), script: other.script }))
    this.#tokens = new Map(
      [{ token: this.token, script: undefined }, ...loaded].map((each) => [each.token.instance, each]),
    )
    keys.forEach((key, i) => {
      const ports = this.#ports(key)
      if (i < anchorCount) this.anchors.push(new AnchoringNode(ports, this.#context(), { endOfTurn, http }))
      else {
        const options = {
          secrets: { get: () => undefined },
          endOfTurn,
          capacity: capacity?.(ports.identity.signer.address),
        }
        this.services.push(new ServiceNode(ports, this.#context(), options))
      }
    })
  }

  async start(): Promise<void> {
    for (const node of [...this.anchors, ...this.services]) await node.start()
  }

  /** What an anchor's services are given, for tests of one of them. */
  portsOf(anchor: number): Ports {
    return this.#ports(keyOf(anchor + 1))
  }

  get context(): NodeContext {
    return this.#context()
  }

  /** The registered service nodes, in the order of `services`. */
  get serviceMembers(): Membership['members'] {
    return this.#membership.members.filter(({ role }) => role === 'service')
  }

  get anchorMembers(): Membership['members'] {
    return this.#membership.members.filter(({ role }) => role === 'anchor')
  }

  /** The next fact of the issuer for the token's subset. */
  fact(body: object): StreamItem {
    const text = canonicalJson(body)
    const { tokenType } = this.token.rules
    const lane = laneOf(LANE, keccak)
    const sequence = this.#last.sequence + 1n
    const time = (START + BigInt(Math.floor(this.time.now))) / 1000n
    const data = {
      token: subsetOf(SUBSET, keccak),
      stream: streamOf(this.issuer.address, tokenType, lane, keccak),
      epoch: 1n,
      sequence,
      subset: subsetOf(SUBSET, keccak),
      subSequence: sequence,
      subPrevious: this.#last.uid,
      context: inputContext(networkIdOf(1n, this.#registry, keccak), tokenType, lane, keccak),
      contentHash: textHash(text, crypto),
      kind: BigInt(INPUT_KINDS.indexOf('fact')),
      validFrom: time,
      origin: ZERO_32,
    }
    const about = {
      recipient: this.ref.contract,
      time,
      expirationTime: 0n,
      refUID: this.#last.uid,
      salt: toHex(keccak(new Uint8Array([Number(sequence)]))),
    }
    const attestation = attest(SLInput, data, about, { signer: this.issuer, domain: this.easDomain, keccak })
    return { attestation, body: text }
  }

  /** A signed query: of the token's sum, or of another one's method. */
  ask(
    wanted: Partial<Freshness> & { readonly bypassCache?: boolean } = {},
    audience = signerOf(keyOf(98)),
    { token = this.token, method = 'total' }: { token?: LoadedToken; method?: string } = {},
  ): QueryRequest {
    const query: Query = {
      token: token.token,
      method,
      args: textHash('null', crypto),
      audience: audience.address,
      grant: ZERO_32,
      nonce: toHex(keccak(utf8(String(this.#asked++)))),
      time: this.now,
      ...ANY_FRESHNESS,
      bypassCache: false,
      ...wanted,
    }
    const signature = audience.sign(digestOf(Query, query, this.domain, keccak))
    return { query, signature, args: 'null', grant: undefined }
  }

  get now(): bigint {
    return START + BigInt(Math.floor(this.time.now))
  }

  /** The issuer goes on after an entry that it published to another network of the same registry. */
  goOnAfter({ attestation }: StreamItem): void {
    const { sequence } = SLInput.decode(fromHex(attestation.message.data))
    this.#last = { sequence, uid: uidOf(attestation.message, keccak) }
  }

  /** Signs, publishes and remembers the place of a fact. */
  async publish(body: object): Promise<StreamItem> {
    const item = this.fact(body)
    const published = this.anchors[0]!.publish([item])
    await this.time.run(200)
    const { receipt } = await published
    this.#last = { sequence: receipt.sequence, uid: receipt.uid }
    return item
  }

  /** What nodes know of a token. */
  loaded(ref: TokenRef): LoadedToken {
    const id = tokenOf(ref, keccak)
    const found = [...this.#tokens.values()].find(({ token }) => token.token === id)
    if (!found) throw SmartLayerError.of('token.unknown', { token: formatTokenRef(ref) })
    return found.token
  }

  #context(): NodeContext {
    const token = this.token
    const homes = homesOver([this.#membership], keccak)
    return {
      networkId: networkIdOf(1n, this.#registry, keccak),
      domain: this.domain,
      easDomain: this.easDomain,
      parameters: { ...LOCAL_PARAMETERS, ...this.#options.parameters },
      membership: () => this.#membership,
      homes: () => homes,
      tokens: {
        byInstance: (instance) => this.#tokens.get(instance)?.token,
        byContract: (contract) => ({ contract, rules: token.rules, checkFact: () => undefined }),
        load: async (ref) => this.loaded(ref),
        loadType: async (contract) => ({ contract, rules: token.rules, checkFact: () => undefined }),
      },
    }
  }

  #ports(key: Hex): Ports {
    const signer = signerOf(key)
    let counter = 0
    const store = memoryStore(this.time)
    return {
      clock: this.#clock(),
      random: {
        bytes: (length) =>
          keccak(new Uint8Array([...key.slice(-8)].map(Number).concat(counter++ & 255, counter >> 8))).slice(0, length),
      },
      store,
      log: storeLog(store),
      network: this.#network(signer.address),
      chain: { ownerOf: async () => ({ owner: this.holder.address, block: BLOCK }) } as unknown as Ports['chain'],
      sandbox: {
        load: async () => {},
        call: async (scriptHash, method, input) => {
          this.calls.set(method, (this.calls.get(method) ?? 0) + 1)
          const found = [...this.#tokens.values()].find(({ token }) => token.rules.scriptHash === scriptHash)
          if (!found?.script) return counterScript(method, JSON.parse(input))
          const made = found.script[method]?.(JSON.parse(input) as never) ?? { topics: [] }
          return { status: 'ok', output: JSON.stringify(made), gasUsed: 1n }
        },
      },
      egress: {
        request: async (request) => {
          this.requests.push(request)
          return this.outside(request)
        },
      },
      identity: { signer, crypto: crypto },
      telemetry: {
        log: (level, event, facts) => {
          if (level === 'error') throw new Error(`${event} ${String((facts?.error as Error)?.stack)}`)
          if (process.env.TRACE) console.log(this.time.now, signer.address.slice(0, 6), level, event, facts)
        },
        count: () => {},
      },
    }
  }

  #clock(): Clock {
    return {
      now: () => this.now,
      monotonic: () => this.time.now,
      after: (delayMs, run) => this.time.at(delayMs, run),
    }
  }

  #network(self: Address): Network {
    return {
      self,
      send: (to, message) => {
        if (this.cuts.has(self) || this.cuts.has(to)) return
        const delayMs = 1 + (this.delays.get(self) ?? 0) + (this.delays.get(to) ?? 0)
        const sent = this.tampers.get(self)?.(message as { type: string }) ?? [message]
        for (const each of sent) {
          const text = JSON.stringify(each)
          this.time.at(delayMs, () => {
            const isCut = this.cuts.has(self) || this.cuts.has(to) || this.cutLinks.has(`${self}>${to}`)
            if (!isCut) this.#handlers.get(to)?.(self, JSON.parse(text))
          })
        }
      },
      receive: (handle) => void this.#handlers.set(self, handle),
    }
  }

  #otherToken({ contract, tokenId, change, rules }: OtherToken): LoadedToken {
    const ref = { chainId: this.ref.chainId, contract, tokenId }
    const token = tokenOf(ref, keccak)
    const scriptHash = toHex(keccak(utf8(contract)))
    const base = { token, tokenType: tokenTypeOf(ref, keccak), scriptHash, inputs: {}, actions: {}, effects: {} }
    return {
      ...this.token,
      ref,
      token,
      instance: instanceOf(token, scriptHash, keccak),
      queryScope: () => '',
      publicQuery: undefined,
      ...change,
      rules: { ...base, ...rules },
    }
  }

  #loadedToken(): LoadedToken {
    const token = tokenOf(this.ref, keccak)
    const tokenType = tokenTypeOf(this.ref, keccak)
    const scriptHash: Hex = `0x${'5c'.repeat(32)}`
    const lane = laneOf(LANE, keccak)
    return {
      ref: this.ref,
      token,
      instance: instanceOf(token, scriptHash, keccak),
      rules: {
        token,
        tokenType,
        scriptHash,
        owner: this.owner.address,
        expiry: this.#options.expiry,
        inputs: { fact: { issuer: this.issuer.address, lane, retention: KEEP_ALL } },
        actions: {},
        effects: { call: { attempts: 3, timeoutMs: 500, idempotent: true, attestedBy: undefined } },
      },
      engine: ZERO_32,
      gas: { query: 1n, update: 1n, load: 1n },
      checkBody: () => undefined,
      queryScope: (method) => (method === 'total' ? '' : undefined),
      publicQuery: 'total',
      effectTarget: () => 'http://outside.test',
      timeoutMs: () => 500,
      checkRequest: () => ({ method: 'POST', path: '/call', json: {} }),
    }
  }
}

export function memoryStore(time: VirtualTime): Store {
  const rows = new Map<string, Uint8Array>()
  return {
    get: (key) => rows.get(key),
    range: ({ from, to, limit }) =>
      [...rows]
        .filter(([key]) => key >= from && key < to)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .slice(0, limit),
    commit: (writes: readonly Write[]) =>
      new Promise((resolve) => {
        time.at(2, () => {
          for (const { key, value } of writes) value ? rows.set(key, value) : rows.delete(key)
          resolve()
        })
      }),
  }
}

type CounterInput = {
  state: { total: number; called: number }
  body: { add: number; call?: boolean }
  outcome: { kind: string }
}

/** Adds up what facts say, and asks for an outside call when a fact says so. */
function counterScript(method: string, { state, body, outcome }: CounterInput): CallResult {
  const answers: Record<string, () => unknown> = {
    init: () => ({ state: { total: 0, called: 0 }, effects: [] }),
    topics: () => ({ topics: [{ input: 'fact', subset: SUBSET }] }),
    input: () => ({
      state: { ...state, total: state.total + body.add },
      effects: body.call ? [{ name: 'call', payload: { total: state.total + body.add } }] : [],
    }),
    outcome: () => ({
      state: { ...state, called: state.called + (outcome.kind === 'succeeded' ? 1 : 0) },
      effects: [],
    }),
    query: () => ({ value: state.total }),
    request: () => ({ request: { method: 'POST', path: '/call', json: {} } }),
  }
  return { status: 'ok', output: JSON.stringify(answers[method]!()), gasUsed: 1n }
}

function keyOf(n: number): Hex {
  return `0x${n.toString(16).padStart(64, '0')}`
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
