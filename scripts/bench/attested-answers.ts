/** Attested answers: how many per CPU second against the EAS SDK, and what batching adds to a single answer. */
import { createRequire } from 'node:module'
import { setImmediate } from 'node:timers/promises'
import {
  type Address,
  type Attestation,
  attestBatch,
  type BatchItem,
  type Bytes32,
  type Crypto,
  easDomain,
  type Hex,
  nobleCrypto,
  rootCache,
  type Signer,
  SLOutput,
  toHex,
  uintWord,
  utf8,
  verifyAttestation,
  ZERO_32,
} from '@smartlayer/protocol'
import { privateKeyToAccount } from 'viem/accounts'
import { fastCrypto } from '../../packages/node/src/adapters/fast-crypto.ts'

const EAS: Address = '0x4200000000000000000000000000000000000021'
const KEY: Hex = `0x${'11'.repeat(32)}`
const TIME = 1_790_000_000n
const BODY = JSON.stringify({ flight: 'LH454', status: 'on time', note: 'x'.repeat(460) })
const domain = easDomain({ chainId: 8453n, eas: EAS }, nobleCrypto.keccak)

export type BatchRate = {
  readonly size: number
  /** Body hash, message, batch and signature: answers per CPU second. */
  readonly signedPerS: number
  /** The same and a reader's check of each answer against the signed root. */
  readonly signedAndVerifiedPerS: number
}

export type AttestedAnswers = {
  /** Answers per CPU second at 256 per batch; every one of them was verified after the clock stopped. */
  readonly ours: number
  /** EAS SDK `signOffchainAttestation` (version 2) with a viem account, per CPU second. */
  readonly peer: number
  readonly factor: number
  readonly batches: readonly BatchRate[]
  /** What per-turn batching adds to an answer at an open-loop load of 1 000/s, wall clock. */
  readonly addedP50Ms: number
  readonly addedP99Ms: number
}

export async function benchAttestedAnswers(): Promise<AttestedAnswers> {
  const { crypto, signer } = await fastCrypto()
  const node = signer(KEY)
  const batches = [256, 16, 1].map((size) => rateAt(size, node, crypto))
  const peer = await peerRate()
  const added = (await addedLatencies(node, crypto)).sort((a, b) => a - b)
  const ours = batches[0]!.signedPerS
  return {
    ours,
    peer,
    factor: ours / peer,
    batches,
    addedP50Ms: quantile(added, 0.5),
    addedP99Ms: quantile(added, 0.99),
  }
}

function rateAt(size: number, signer: Signer, crypto: Crypto): BatchRate {
  const batchesPerStep = Math.ceil(256 / size)
  const sample = (steps: number) => {
    let signingS = 0
    let verifyingS = 0
    for (let step = 0; step < steps; step++) {
      const rounds = Array.from({ length: batchesPerStep }, (_, i) => step * batchesPerStep + i)
      const signing = cpuSeconds(() => rounds.map((round) => answerBatch(size, round, signer, crypto)))
      const verifying = cpuSeconds(() => {
        for (const attestations of signing.value) verifyAll(attestations, crypto)
      })
      signingS += signing.seconds
      verifyingS += verifying.seconds
    }
    const answers = steps * batchesPerStep * size
    return { signedPerS: answers / signingS, signedAndVerifiedPerS: answers / (signingS + verifyingS) }
  }
  sample(40) // warm
  const samples = Array.from({ length: 5 }, () => sample(size === 1 ? 10 : 40))
  return {
    size,
    signedPerS: median(samples.map((s) => s.signedPerS)),
    signedAndVerifiedPerS: median(samples.map((s) => s.signedAndVerifiedPerS)),
  }
}

function answerBatch(size: number, round: number, signer: Signer, crypto: Crypto): Attestation[] {
  const items = Array.from({ length: size }, (_, i) => answerItem(round * size + i, crypto))
  const salt = toHex(uintWord(BigInt(round)))
  return attestBatch(items, {
    signer,
    domain,
    keccak: crypto.keccak,
    time: TIME,
    firstSequence: BigInt(round * size),
    salt,
  })
}

function answerItem(n: number, { keccak }: Crypto): BatchItem {
  const own: Bytes32 = toHex(uintWord(BigInt(n)))
  const data = {
    token: ZERO_32,
    stream: ZERO_32,
    sequence: BigInt(n),
    audience: own,
    request: own,
    result: toHex(keccak(utf8(BODY))),
    context: ZERO_32,
    evidence: ZERO_32,
  }
  return { schema: SLOutput, data, recipient: EAS, time: TIME, expirationTime: TIME + 300n, salt: own }
}

function verifyAll(attestations: readonly Attestation[], crypto: Crypto): void {
  const roots = rootCache(16)
  for (const attestation of attestations) {
    const { verdict } = verifyAttestation(attestation, { domain, crypto, roots })
    if (verdict !== 'accept') throw new Error('an answer of ours does not verify')
  }
}

/** Answers arrive at fixed times whatever happens; those of one turn of the event loop share a signature. */
async function addedLatencies(signer: Signer, crypto: Crypto): Promise<number[]> {
  const perMs = 1
  const total = 2_000
  const latencies: number[] = []
  const start = performance.now()
  for (let due = 0; due < total; ) {
    const elapsed = performance.now() - start
    const arrived = Math.min(total, Math.floor(elapsed * perMs) + 1)
    if (arrived > due) {
      const items = Array.from({ length: arrived - due }, (_, i) => answerItem(due + i, crypto))
      const salt = toHex(uintWord(BigInt(due)))
      attestBatch(items, { signer, domain, keccak: crypto.keccak, time: TIME, firstSequence: BigInt(due), salt })
      const done = performance.now() - start
      for (; due < arrived; due++) latencies.push(done - due / perMs)
    }
    await setImmediate()
  }
  return latencies
}

async function peerRate(): Promise<number> {
  // The SDK's ESM entry does not load in Node.
  const { Offchain, EAS: Contract } = createRequire(import.meta.url)('@ethereum-attestation-service/eas-sdk')
  const offchain = new Offchain({ address: EAS, version: '1.0.1', chainId: 8453n }, 2, new Contract(EAS))
  const account = privateKeyToAccount(KEY)
  const typedDataSigner = {
    getAddress: async () => account.address,
    signTypedData: (typed: object, types: object, message: object) =>
      account.signTypedData({ domain: typed, types, primaryType: 'Attest', message } as never),
  }
  const sign = (n: number) =>
    offchain.signOffchainAttestation(
      {
        schema: SLOutput.uid(nobleCrypto.keccak),
        recipient: EAS,
        time: TIME,
        expirationTime: TIME + 300n,
        revocable: true,
        refUID: ZERO_32,
        data: `0x${'5a'.repeat(256)}`,
        salt: toHex(uintWord(BigInt(n))),
      },
      typedDataSigner,
    )
  const count = 300
  for (let n = 0; n < count; n++) await sign(n)
  const samples: number[] = []
  for (let sample = 0; sample < 5; sample++) {
    const before = cpuNowS()
    for (let n = 0; n < count; n++) await sign(n)
    samples.push(count / (cpuNowS() - before))
  }
  return median(samples)
}

function cpuSeconds<T>(run: () => T): { readonly value: T; readonly seconds: number } {
  const before = cpuNowS()
  const value = run()
  return { value, seconds: cpuNowS() - before }
}

function cpuNowS(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

function median(values: readonly number[]): number {
  return quantile(
    values.toSorted((a, b) => a - b),
    0.5,
  )
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
}
