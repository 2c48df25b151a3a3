/** The sandbox as a port: runs a token's script, deterministically and metered. */
import type { Bytes32 } from '@smartlayer/protocol'

/** Same script, method, input and gas give the same result on every node, refusals included. */
export type CallResult =
  | { readonly status: 'ok'; readonly output: string; readonly gasUsed: bigint }
  | { readonly status: 'threw'; readonly message: string; readonly gasUsed: bigint }
  | { readonly status: 'outOfGas' | 'tooDeep' | 'outOfMemory'; readonly gasUsed: bigint }

export type Sandbox = {
  /** Makes a script callable by its hash. Throws `sandbox.*` when it does not load. */
  load(scriptHash: Bytes32, code: string): Promise<void>
  /** Calls `smartToken.call(method, input)`; JSON text in and out. Throws `sandbox.unavailable` on a fault of the process. */
  call(scriptHash: Bytes32, method: string, input: string, gas: bigint): Promise<CallResult>
}
