/** The outside world as a port: one HTTP request of an effect, with a typed end. */
import type { Address, Bytes32 } from '@smartlayer/protocol'

export type OutboundRequest = {
  readonly url: string
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly timeoutMs: number
  /** Identity of the effect; sent as Idempotency-Key. */
  readonly effect: Bytes32
  /** Who asks, under which term: sent and covered by the node's HTTP message signature (RFC 9421). */
  readonly executor: Address
  readonly term: bigint
  readonly placement: Bytes32
}

/** What came of it. `unsent` means that no byte of the request left; `lost` that nobody can know what happened. */
export type OutboundResult =
  | { readonly end: 'answer'; readonly status: number; readonly body: string; readonly signature: string | undefined }
  | { readonly end: 'unsent'; readonly reason: string }
  | { readonly end: 'lost'; readonly reason: string }

export type Egress = {
  /** Never throws. Answers are bounded (64 KiB); redirects are not followed. */
  request(request: OutboundRequest): Promise<OutboundResult>
}
