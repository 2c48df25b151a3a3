/** Everything a service may touch. */
import type { Chain } from './chain.ts'
import type { Clock } from './clock.ts'
import type { Egress } from './egress.ts'
import type { Network } from './network.ts'
import type { Random } from './random.ts'
import type { Sandbox } from './sandbox.ts'
import type { Identity } from './signer.ts'
import type { Store } from './store.ts'
import type { StreamLog } from './stream-log.ts'
import type { Telemetry } from './telemetry.ts'

export type Ports = {
  readonly clock: Clock
  readonly random: Random
  readonly store: Store
  readonly log: StreamLog
  readonly network: Network
  readonly chain: Chain
  readonly sandbox: Sandbox
  readonly egress: Egress
  readonly identity: Identity
  readonly telemetry: Telemetry
}
