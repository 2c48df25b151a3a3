/** Bugs that the story can plant in its nodes, to show that its checker sees them. */
import type { Patch } from '@smartlayer/cli'

/** An executor that asks for no renewal and calls the outside long after its lease is over. */
const fence: readonly Patch[] = [
  {
    file: /effect-performer\.ts$/,
    find: 'if (!lease.mayAct(timeoutMs + CALL_MARGIN_MS)) return undefined',
    replace: 'await new Promise((done) => setTimeout(done, 5_000))',
  },
  {
    file: /lease-keeper\.ts$/,
    find: 'if (this.#lease && !renewalDue(this.#lease, this.#now, limits)) return',
    replace: 'if (this.#lease) return',
  },
]

/** Anchors that take any entry into a stream, whatever its place. */
const replay: readonly Patch[] = [
  {
    file: /stream\/admit\.ts$/,
    find: "  if (data.epoch !== state.epoch) return ignore('stream.epoch', { current: state.epoch, got: data.epoch })",
    replace: '  if (data.sequence > 0n) return accept({ state, subset })',
  },
]

/** Nodes that believe whoever an attestation says has signed it. */
const signature: readonly Patch[] = [
  {
    file: /attestation\/verify\.ts$/,
    find: 'return recover(digest, signature) === attester ? undefined : ',
    replace: 'return recover(digest, signature) === attester || attester ? undefined : ',
  },
]

export const BREAKS = { fence, replay, signature } as const
export type Break = keyof typeof BREAKS

/** A service node whose script adds a minute to every delay: one of three replicas that computes something else. */
export const ALTERED_REDUCER: readonly Patch[] = [
  {
    file: /executor\/child\.ts$/,
    find: 'return result ? { id, result: toWire(result) } : { id, missing: true }',
    replace:
      "const altered = result?.status === 'ok' ? { ...result, output: addMinute(result.output) } : result\n" +
      '    function addMinute(text: string): string {\n' +
      '      return text.replace(/"delayMinutes":(\\d+)/, (_, minutes) => \'"delayMinutes":\' + (Number(minutes) + 1))\n' +
      '    }\n' +
      '    return altered ? { id, result: toWire(altered) } : { id, missing: true }',
  },
]
