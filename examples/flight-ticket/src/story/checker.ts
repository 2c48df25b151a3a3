/** The checker of the story: it trusts no scene, and reads only HTTP APIs, the hotel's database and the chain. */
import { DatabaseSync } from 'node:sqlite'
import { nodeRegistryAbi } from '@smartlayer/contracts'
import {
  type Address,
  accepted,
  type Bytes32,
  type CommitProof,
  checkCommit,
  cursorAfter,
  domainOf,
  easDomain,
  entryHash,
  type JournaledEntry,
  journalPageShape,
  type NetworkInfo,
  type NodeStatus,
  networkIdOf,
  networkInfoShape,
  nobleCrypto,
  quorumOf,
  statusShape,
  toHex,
  verifyAttestation,
} from '@smartlayer/protocol'
import { createPublicClient, http } from 'viem'

export type Finding = { readonly name: string; readonly ok: boolean; readonly detail: string }
export type CheckerInput = {
  readonly apis: readonly string[]
  readonly chainUrl: string
  readonly registry: Address
  readonly hotelDatabase: string
}

type HotelRow = {
  readonly effect: string
  readonly node: string
  readonly term: string
  readonly placement: string
  readonly at: number
  readonly status: number
}
type World = {
  readonly info: NetworkInfo
  readonly statuses: readonly NodeStatus[]
  readonly journals: ReadonlyMap<Bytes32, readonly JournaledEntry[]>
  /** What commits the last entry of each journal. */
  readonly proofs: ReadonlyMap<Bytes32, CommitProof>
}

const { keccak } = nobleCrypto

/** Runs every check; each says what it looked at. */
export async function check(input: CheckerInput): Promise<readonly Finding[]> {
  const world = await look(input)
  const database = new DatabaseSync(input.hotelDatabase, { readOnly: true })
  const requests = database.prepare('SELECT * FROM requests ORDER BY id').all() as unknown as HotelRow[]
  const rows = database.prepare('SELECT effect, COUNT(*) AS times FROM rebookings GROUP BY effect').all() as {
    effect: string
    times: number
  }[]
  database.close()
  return [
    finding(
      'every rebooking happened once',
      rows.filter(({ times }) => times > 1).map(({ effect }) => `${effect} twice`),
      rows.length,
    ),
    finding('hotel was called by registered nodes', strangers(requests, world), requests.length),
    finding('INV-ONE-EXECUTOR: no call outside its lease', outsideLease(requests, world), requests.length),
    finding('INV-ONE-EXECUTOR: no two terms overlap at the hotel', overlaps(requests, world), requests.length),
    finding('INV-COMMIT: journals are committed chains', await brokenChains(world), world.journals.size),
    finding('INV-ATTESTED: every journaled input is attested', unattested(world), entriesOf(world)),
    finding('INV-ORDER: cursors move by one', disordered(world), entriesOf(world)),
    finding('INV-SAME-STATE: replicas agree', disagreeing(world), world.statuses.length),
    ...(await membersOnChain(input, world)),
  ]
}

async function look({ apis }: CheckerInput): Promise<World> {
  const answers = await Promise.all(
    apis.map(async (api) => {
      const status = await json(`${api}/v1/status`).catch(() => undefined) // a node may be down; who is left must agree
      return status === undefined ? [] : [{ api, status: statusShape.parse(status, 'status') }]
    }),
  )
  const up = answers.flat()
  const anchor = up.find(({ status }) => status.role === 'anchor')
  if (!anchor) throw new Error('no anchor answers')
  const info = networkInfoShape.parse(await json(`${anchor.api}/v1/network`), 'network')
  const statuses = up.map(({ status }) => status)
  const instances = new Set(statuses.flatMap((status) => status.instances.map(({ instance }) => instance)))
  const journals = new Map<Bytes32, readonly JournaledEntry[]>()
  const proofs = new Map<Bytes32, CommitProof>()
  for (const instance of instances) {
    const { entries, proof } = await journalOf(anchor.api, instance)
    journals.set(instance, entries)
    if (proof) proofs.set(instance, proof)
  }
  return { info, statuses, journals, proofs }
}

type Journal = { readonly entries: readonly JournaledEntry[]; readonly proof: CommitProof | undefined }

async function journalOf(api: string, instance: Bytes32): Promise<Journal> {
  const entries: JournaledEntry[] = []
  let proof: CommitProof | undefined
  for (;;) {
    const page = journalPageShape.parse(
      await json(`${api}/v1/instances/${instance}/journal?from=${entries.length + 1}`),
      'journal',
    )
    if (page.entries.length === 0) return { entries, proof }
    entries.push(...page.entries)
    proof = page.proof as CommitProof | undefined
  }
}

function doorOf({ info }: World) {
  const { chainId, registry, eas } = info
  return {
    domain: domainOf({ name: 'SmartLayer', version: '1', chainId, verifyingContract: registry }, keccak),
    easDomain: easDomain({ chainId, eas }, keccak),
    networkId: networkIdOf(chainId, registry, keccak),
    crypto: nobleCrypto,
  }
}

function strangers(requests: readonly HotelRow[], { info }: World): string[] {
  const services = info.members.filter(({ role }) => role === 'service').map(({ node }) => node as string)
  return requests
    .filter(({ node, status }) => status !== 401 && !services.includes(node))
    .map(({ node }) => `${node} called`)
}

/**
 * The end of a lease as journals show it: nothing of a term is committed after a later term has begun, so a call that
 * reached the hotel after the first entry of a later term of its instance was made outside its lease.
 */
function outsideLease(requests: readonly HotelRow[], world: World): string[] {
  const faults: string[] = []
  for (const entries of world.journals.values()) {
    const terms = new Map<string, { term: bigint; firstAt: bigint }>()
    for (const { entry } of entries)
      if (!terms.has(entry.placement)) terms.set(entry.placement, { term: entry.term, firstAt: entry.time })
    for (const { placement, at } of requests) {
      const own = terms.get(placement)
      const later = own && [...terms.values()].find(({ term, firstAt }) => term > own.term && firstAt <= BigInt(at))
      if (later)
        faults.push(`a call of term ${own.term} came ${BigInt(at) - later.firstAt} ms after term ${later.term} began`)
    }
  }
  return faults
}

/** Calls of one effect, in order of time, must come from terms that never go back. */
function overlaps(requests: readonly HotelRow[], _world: World): string[] {
  const faults: string[] = []
  const highest = new Map<string, bigint>()
  for (const { effect, term } of requests) {
    const before = highest.get(effect) ?? 0n
    if (BigInt(term) < before) faults.push(`${effect}: term ${term} called after term ${before}`)
    highest.set(effect, BigInt(term) > before ? BigInt(term) : before)
  }
  return faults
}

/** Each entry names the one before it, and 2f + 1 anchors committed the last: with it everything that leads to it. */
async function brokenChains(world: World): Promise<string[]> {
  const { domain, crypto } = doorOf(world)
  // Homes change with the epochs: the last entry may be of an earlier one than that of now.
  const { directory, members } = world.info
  const anchors = members.filter(({ role }) => role === 'anchor').map(({ node }) => node)
  const home = { anchors, quorum: quorumOf(Math.min(directory.homeSize, anchors.length)) }
  return [...world.journals].flatMap(([instance, entries]) => {
    const unlinked = entries.filter(({ entry }, i) => {
      const before = entries[i - 1]
      if (!before) return entry.n !== 1n
      return entry.previous !== entryHash(before.entry, domain, keccak) || entry.n !== before.entry.n + 1n
    })
    const proof = world.proofs.get(instance)
    const last = entries.at(-1)
    const committed = proof && accepted(checkCommit(proof, home, { domain, crypto }))
    const isLast = proof && last && entryHash(proof.entry, domain, keccak) === entryHash(last.entry, domain, keccak)
    return [
      ...unlinked.map(({ entry }) => `${instance} at ${entry.n}`),
      ...(!last || (committed && isLast) ? [] : [`${instance}: its last entry ${last.entry.n} is not proven`]),
    ]
  })
}

/** Signature, inclusion and body of every attested input; who may sign is named by the input's own context. */
function unattested(world: World): string[] {
  const { easDomain: eas, crypto } = doorOf(world)
  return entriesWith(world).flatMap(({ entry, input }) => {
    if (!('attestation' in input)) return []
    const verified = verifyAttestation(input.attestation, { domain: eas, crypto })
    const body = toHex(keccak(new TextEncoder().encode(input.body))) === entry.content
    return accepted(verified) && verified.value.uid === entry.input && body
      ? []
      : [`entry ${entry.n} of ${entry.instance}`]
  })
}

function disordered(world: World): string[] {
  return [...world.journals].flatMap(([instance, entries]) => {
    let cursors: ReturnType<typeof cursorAfter> = {}
    return entries.flatMap(({ entry, input }) => {
      const after = cursorAfter(entry, input, cursors)
      const moved = Object.entries(after).find(([key, { sequence }]) => sequence !== (cursors[key]?.sequence ?? 0n))
      const fault = moved && moved[1].sequence !== (cursors[moved[0]]?.sequence ?? 0n) + 1n
      cursors = after
      return fault ? [`${instance} at ${entry.n}`] : []
    })
  })
}

function disagreeing({ statuses }: World): string[] {
  const roots = new Map<string, string>()
  const faults: string[] = []
  for (const { node, instances, role } of statuses) {
    for (const { instance, confirmed, stateRoot } of role === 'service' ? instances : []) {
      if (confirmed === undefined || stateRoot === undefined) continue
      const key = `${instance} at ${confirmed}`
      const known = roots.get(key)
      if (known !== undefined && known !== stateRoot) faults.push(`${key}: ${node} differs`)
      roots.set(key, stateRoot)
    }
  }
  return faults
}

async function membersOnChain({ chainUrl, registry }: CheckerInput, { info }: World): Promise<readonly Finding[]> {
  const client = createPublicClient({ transport: http(chainUrl) })
  const page = await client.readContract({
    address: registry,
    abi: nodeRegistryAbi,
    functionName: 'nodesPage',
    args: [0n, 100n],
  })
  const known = new Map(page.map((node) => [node.node.toLowerCase(), node]))
  const faults = info.members
    .filter(({ node, transportKey }) => known.get(node)?.transportKey !== transportKey)
    .map(({ node }) => `${node} is not on chain so`)
  const unstaked = page.filter(({ stake }) => stake === 0n).map(({ node }) => `${node} has no stake`)
  return [finding('members and keys are those of the chain, with stake', [...faults, ...unstaked], page.length)]
}

function entriesWith(world: World): readonly JournaledEntry[] {
  return [...world.journals.values()].flat()
}

function entriesOf(world: World): number {
  return entriesWith(world).length
}

function finding(name: string, faults: readonly string[], looked: number): Finding {
  const ok = faults.length === 0 && looked > 0
  return { name, ok, detail: faults.length > 0 ? faults.slice(0, 3).join('; ') : `${looked} looked at` }
}

async function json(url: string): Promise<unknown> {
  const response = await fetch(url, { signal: AbortSignal.timeout(5_000) })
  if (!response.ok) throw new Error(`${url} answered ${response.status}`)
  return response.json()
}
