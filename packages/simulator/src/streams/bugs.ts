/** Bugs of streams to plant: each must be noticed by a checker of the world of streams. */
import { type Bug, edit } from '../bugs.ts'

const ADMIT = 'packages/protocol/src/stream/admit.ts'
const FOLLOW = 'packages/protocol/src/stream/follow.ts'
const RANGE = 'packages/protocol/src/stream/range.ts'
const SERVICE = 'packages/node/src/stream/stream-service.ts'
const CERTIFICATION = 'packages/node/src/stream/certification.ts'
const REPAIRER = 'packages/node/src/stream/repairer.ts'
const HOME = 'packages/node/src/stream/home-streams.ts'
const CERTIFIER = 'packages/node/src/stream/certifier.ts'
const CHECKPOINTER = 'packages/node/src/stream/checkpointer.ts'
const REVOCATIONS = 'packages/node/src/stream/revocation-book.ts'

export const STREAM_BUGS: readonly Bug[] = [
  {
    name: 'sign-before-durable',
    edits: [edit(HOME, 'refusal, done: held.tail }', 'refusal, done: Promise.resolve() }')],
  },
  {
    name: 'sign-again-what-was-given-up',
    edits: [edit(HOME, 'return !this.get(stream).givenUp.some(covers)', 'return true || covers')],
  },
  {
    name: 'certify-with-two-of-four',
    edits: [
      edit(CERTIFIER, 'if (next.signatures.size < home.quorum) {', 'if (next.signatures.size < home.quorum - 1) {'),
    ],
  },
  {
    name: 'mix-receipts-of-memberships',
    edits: [
      edit(CERTIFIER, ' || receipt.homeEpoch !== home.epoch) return', ') return'),
      edit(CERTIFIER, 'uid, homeEpoch }: Omit', 'uid, none: homeEpoch }: Omit'),
    ],
  },
  {
    name: 'certificate-without-its-signatures',
    edits: [
      edit(
        CERTIFICATION,
        'if (home && accepted(checkReceipt(certified, { stream, sequence, uid }, { home, ...door })))',
        'if (home && (accepted(checkReceipt(certified, { stream, sequence, uid }, { home, ...door })) || true))',
      ),
    ],
  },
  {
    name: 'serve-what-has-no-receipt',
    edits: [edit(SERVICE, 'if (!this.#homes.of(stream).anchors.includes(to)) return certified', '')],
  },
  {
    name: 'admit-whatever-comes-before',
    edits: [
      edit(
        ADMIT,
        "if (previous !== state.head) return ignore('stream.predecessor', { expected: state.head, got: previous })",
        '',
      ),
    ],
  },
  {
    name: 'subset-chain-unchecked',
    edits: [edit(ADMIT, ' || data.subPrevious !== subset.head) {', ') {')],
  },
  {
    name: 'give-up-what-is-certified',
    edits: [
      edit(HOME, 'log.truncate(stream, held.state.certified)', 'log.truncate(stream, held.state.certified / 2n)'),
    ],
  },
  {
    name: 'fork-does-not-freeze',
    edits: [edit(HOME, 'if (held.state.epoch === epoch) held.state = freeze(held.state)', '')],
  },
  {
    name: 'frozen-stream-takes-more',
    edits: [edit(ADMIT, 'if (!opens && !entry.proven && state.frozenAfter !== undefined)', 'if (false as boolean)')],
  },
  {
    name: 'follower-skips-a-gap',
    edits: [edit(FOLLOW, '?.ahead.get(after + 1n)', '?.ahead.values().toArray().at(-1)')],
  },
  {
    name: 'range-without-its-proof',
    edits: [
      edit(RANGE, 'return accepted(included) ? accept(entries) : included', 'return accept(entries)'),
      edit(REPAIRER, 'if (this.#openRange(items).length < items.length) {', 'if (false as boolean) {'),
    ],
  },
  {
    name: 'revocation-has-no-effect',
    edits: [edit(REVOCATIONS, 'if (!revocation) return false', 'if (revocation) return false')],
  },
  {
    name: 'cosign-any-root',
    edits: [
      edit(
        CHECKPOINTER,
        "if (differs) return this.#ports.telemetry.log('warn', 'checkpoint.differs', { stream, size, from })",
        '',
      ),
    ],
  },
]
