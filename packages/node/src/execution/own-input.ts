/** What an executor puts into the journal itself: its attested reports, and only inputs that it checked as anchors will. */
import {
  anchorsOf,
  attest,
  type Bytes32,
  type CheckedInput,
  canonicalJson,
  checkInput,
  cursorsOf,
  epochOfTerm,
  INPUT_KINDS,
  type InstanceState,
  type JournalInput,
  outcomeContext,
  SLInput,
  textHash,
  toHex,
  type Verdict,
  ZERO_32,
} from '@smartlayer/protocol'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'

/** How long an executor's report may be used, in seconds: long enough for any retry within its term. */
const REPORT_LIFE_S = 3_600n

/** Attests an attempt or an outcome as the executor's own statement. */
export function attestReport(
  ports: Pick<Ports, 'identity' | 'clock' | 'random'>,
  context: NodeContext,
  { token, kind, body, term }: { token: LoadedToken; kind: 'attempt' | 'outcome'; body: object; term: bigint },
): JournalInput {
  const { signer, crypto } = ports.identity
  const text = canonicalJson(body)
  const { effect, attempt } = body as { effect: Bytes32; attempt: number }
  const time = ports.clock.now() / 1000n
  const data = {
    token: token.token,
    stream: token.instance,
    epoch: term,
    sequence: BigInt(attempt),
    subset: effect,
    subSequence: BigInt(attempt),
    subPrevious: ZERO_32,
    context: outcomeContext(context.networkId, token.rules.scriptHash, effect, crypto.keccak),
    contentHash: textHash(text, crypto),
    kind: BigInt(INPUT_KINDS.indexOf(kind)),
    validFrom: time,
    origin: ZERO_32,
  }
  const attestation = attest(
    SLInput,
    data,
    {
      recipient: token.ref.contract,
      time,
      expirationTime: time + REPORT_LIFE_S,
      refUID: ZERO_32,
      salt: toHex(ports.random.bytes(32)),
    },
    { signer, domain: context.easDomain, keccak: crypto.keccak },
  )
  return { kind, attestation, body: text }
}

/** The same check that home anchors will make. */
export function checkOwn(
  ports: Pick<Ports, 'identity' | 'clock'>,
  context: NodeContext,
  { token, input, state }: { token: LoadedToken; input: JournalInput; state: InstanceState },
): Verdict<CheckedInput> {
  return (
    token.checkBody(input) ??
    checkInput(input, {
      networkId: context.networkId,
      domain: context.domain,
      easDomain: context.easDomain,
      crypto: ports.identity.crypto,
      rules: token.rules,
      instance: token.instance,
      cursors: cursorsOf(state),
      executor: ports.identity.signer.address,
      anchors: anchorsOf(context.membership()).map((member) => member.node),
      homeIn: (subject, term) => context.homes().at(subject, epochOfTerm(term)),
      time: ports.clock.now(),
    })
  )
}
