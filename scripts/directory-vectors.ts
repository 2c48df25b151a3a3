/** Vectors of the directory: tickets, shards, and a small network whose epochs, beacons and homes the chain must find alike. */
import {
  type Address,
  type Beacons,
  type Bytes32,
  beaconOf,
  closesAt,
  type DirectoryParameters,
  epochAt,
  type Hex,
  homeOfShard,
  keccakText,
  lastDrawOf,
  type Member,
  membersAt,
  nobleCrypto,
  nobleSigner,
  openEpochAt,
  type PlacedEvent,
  type RegistryEvent,
  type Role,
  saltOfShard,
  shardOf,
  startOf,
  ticketOf,
  ticketUnder,
  toHex,
  typeSaltOf,
  uintWord,
  utf8,
  viewOf,
  weightOf,
  ZERO_32,
  ZERO_ADDRESS,
} from '@smartlayer/protocol'
import { keccak256, numberToHex, toRlp } from 'viem'

const { keccak } = nobleCrypto
const STK = 10n ** 18n
const GENESIS_S = 1_790_001_000n
const SCHEDULE = { genesisS: GENESIS_S, lengthS: 600n, closingS: 120n }
const PARAMETERS: DirectoryParameters = {
  shardCount: 64,
  rotation: 4,
  homeSize: 4,
  nodesPerCell: 100,
  weight: { unit: 10n * STK, cap: 2 ** 14 },
}
const EPOCHS = 6
const SHARDS_SHOWN = [0, 1, 2, 3, 17, 63]
/** One in whole units, one that does not come to another unit, one above the cap. */
const STAKES = [100n, 100n, 109n, 250n, 120n, 180n, 400n, 300_000n, 130n, 500n, 100n, 700n]
const FIRST_KEY = 0xa11cen

type Step = { readonly timeS: bigint; readonly node: number } & (
  | { readonly kind: 'register'; readonly role: Role }
  | { readonly kind: 'unbond' | 'release' }
  | { readonly kind: 'jail'; readonly until: bigint }
)

/** What happens in the registry: on the last second of an epoch's registration and on the first one after, among others. */
const HISTORY: readonly Step[] = [
  ...Array.from({ length: 8 }, (_, node): Step => ({ timeS: GENESIS_S - 50n, kind: 'register', node, role: 'anchor' })),
  { timeS: GENESIS_S, kind: 'register', node: 10, role: 'service' },
  { timeS: closes(2) - 50n, kind: 'register', node: 8, role: 'anchor' },
  { timeS: closes(2) + 1n, kind: 'unbond', node: 2 },
  { timeS: closes(3) - 1n, kind: 'jail', node: 4, until: 5n },
  { timeS: closes(3) + 1n, kind: 'register', node: 11, role: 'service' },
  { timeS: closes(4) - 20n, kind: 'jail', node: 5, until: 9n },
  { timeS: closes(4), kind: 'register', node: 9, role: 'anchor' },
  { timeS: closes(5), kind: 'release', node: 5 },
  { timeS: closes(5) + 1n, kind: 'jail', node: 4, until: 7n },
]

export function directoryVectors() {
  const beacons = new Map(Array.from({ length: EPOCHS }, (_, i) => [BigInt(i + 1), headersOf(i + 1).beacon] as const))
  return {
    schedule: { genesis: String(GENESIS_S), length: String(SCHEDULE.lengthS), closing: String(SCHEDULE.closingS) },
    parameters: {
      ...PARAMETERS,
      weight: { unit: String(PARAMETERS.weight.unit), cap: PARAMETERS.weight.cap },
    },
    tickets: [0, 1, 2, 3, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 2, 2 ** 32 - 1, ...someDraws(24)].map((draw) => ({
      draw,
      ticket: ticketOf(draw),
    })),
    nodes: STAKES.map((stake, n) => ({
      key: String(FIRST_KEY + BigInt(n)),
      node: addressOf(n),
      stake: String(stake * STK),
      weight: weightOf(stake * STK, PARAMETERS.weight),
      salt: idOf(`salt ${n}`),
      ticket: ticketUnder(idOf(`salt ${n}`), addressOf(n), keccak),
    })),
    shards: Array.from({ length: 8 }, (_, n) => shardVector(n)),
    draws: [1, 2, 3, 4, 5, 29, 30, 31, 1_000].flatMap((epoch) =>
      [0, 1, 29, 30, 262_143].map((shard) => ({
        shard,
        epoch,
        rotation: 30,
        drawn: Number(lastDrawOf(shard, BigInt(epoch), 30)),
      })),
    ),
    times: timesOfInterest().map((time) => ({
      time: String(time),
      epoch: Number(epochAt(SCHEDULE, time)),
      open: Number(openEpochAt(SCHEDULE, time)),
    })),
    history: HISTORY.map(({ timeS, ...step }) => ({
      ...step,
      time: String(timeS),
      ...('until' in step ? { until: Number(step.until) } : {}),
    })),
    epochs: Array.from({ length: EPOCHS }, (_, i) => epochVector(i + 1, beacons)),
  }
}

function epochVector(epoch: number, beacons: Beacons) {
  const members = membersOf(epoch)
  const view = viewOf({ epoch: BigInt(epoch), members }, { beacons, parameters: PARAMETERS }, keccak)
  const { rotation } = PARAMETERS
  return {
    epoch,
    closesAt: String(closes(epoch)),
    ...headersOf(epoch),
    members: members.map(({ node }) => node),
    homes: SHARDS_SHOWN.map((shard) => ({
      shard,
      salt: saltOfShard(shard, { epoch: view.epoch, beacons, rotation }, keccak),
      anchors: homeOfShard(shard, view, keccak).anchors,
    })),
  }
}

/** The members of an epoch, by the membership log: every step is a block of its own. */
function membersOf(epoch: number): readonly Member[] {
  const inTime = HISTORY.filter(({ timeS }) => timeS <= closes(epoch))
  const events = inTime.map((step, i): PlacedEvent => ({ block: BigInt(i), logIndex: 0, event: eventOf(step) }))
  return membersAt(events, { block: BigInt(inTime.length), epoch: BigInt(epoch) })
}

function eventOf(step: Step): RegistryEvent {
  const node = addressOf(step.node)
  const open = openEpochAt(SCHEDULE, step.timeS)
  switch (step.kind) {
    case 'register':
      return { kind: 'registered', member: memberOf(step.node, step.role), since: open }
    case 'unbond':
      return { kind: 'leaving', node, until: open }
    case 'jail':
      return { kind: 'jailed', node, since: open, until: step.until }
    case 'release':
      return { kind: 'released', node, until: open }
  }
}

function memberOf(n: number, role: Role): Member {
  const word = idOf(`node ${n}`)
  const stake = STAKES[n]! * STK
  return { node: addressOf(n), role, transportKey: word, overlay: '', api: '', operator: word, platform: word, stake }
}

/** The first block after an epoch's registration closed, and the one before it. */
function headersOf(epoch: number) {
  const number = BigInt(1_000 * epoch)
  const randomness = idOf(`randomness of epoch ${epoch}`)
  const parentHeader = headerOf({ number: number - 1n, timestamp: closes(epoch), parentHash: idOf(`before ${epoch}`) })
  const parentHash = keccak256(parentHeader)
  const header = headerOf({ number, timestamp: closes(epoch) + 2n, parentHash, randomness })
  return {
    parentHeader,
    header,
    number: Number(number),
    randomness,
    beacon: beaconOf(BigInt(epoch), randomness, keccak),
  }
}

/** A block header in RLP as Ethereum has it since Prague. */
function headerOf({
  number,
  timestamp,
  parentHash,
  randomness = idOf('some randomness'),
}: {
  number: bigint
  timestamp: bigint
  parentHash: Bytes32
  randomness?: Bytes32
}): Hex {
  const roots = ['state', 'transactions', 'receipts'].map((name) => idOf(`${name} of ${number}`))
  const gas = [36_000_000n, 21_000n].map((value) => numberToHex(value))
  const late = [numberToHex(7n), ZERO_32, '0x' as const, numberToHex(131_072n), idOf('beacon root'), idOf('requests')]
  const numbers = [numberToHex(number), ...gas, numberToHex(timestamp)]
  const bloom: Hex = `0x${'00'.repeat(256)}`
  const fields: readonly Hex[] = [
    ...[parentHash, idOf('uncles'), ZERO_ADDRESS, ...roots, bloom, '0x' as const, ...numbers],
    ...[toHex(utf8('extra')), randomness, `0x${'00'.repeat(8)}` as const, ...late],
  ]
  return toRlp(fields.map(evenHex), 'hex')
}

/** RLP has no leading zeros in numbers, but whole bytes. */
function evenHex(hex: Hex): Hex {
  return hex.length % 2 === 0 ? hex : `0x0${hex.slice(2)}`
}

function shardVector(n: number) {
  const [token, tokenType, randomness] = [idOf(`token ${n}`), idOf(`type ${n % 3}`), idOf(`type block ${n % 3}`)]
  const typeSalt = typeSaltOf(tokenType, randomness, keccak)
  const shardCount = n % 2 === 0 ? 2 ** 18 : 1_000
  return { token, tokenType, randomness, typeSalt, shardCount, shard: shardOf(token, typeSalt, shardCount, keccak) }
}

function timesOfInterest(): readonly bigint[] {
  const borders = [1n, 2n, 3n, 40n].flatMap((epoch) => [startOf(SCHEDULE, epoch), closesAt(SCHEDULE, epoch)])
  return borders.flatMap((border) => [border - 1n, border, border + 1n])
}

function someDraws(count: number): readonly number[] {
  return Array.from({ length: count }, (_, n) => Number.parseInt(idOf(`draw ${n}`).slice(2, 10), 16))
}

function closes(epoch: number): bigint {
  return closesAt(SCHEDULE, BigInt(epoch))
}

function addressOf(n: number): Address {
  return nobleSigner(toHex(uintWord(FIRST_KEY + BigInt(n)))).address
}

function idOf(name: string): Bytes32 {
  return keccakText(keccak, name)
}
