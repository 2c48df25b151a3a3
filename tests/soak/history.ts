/** What processes of the soak write down: calls and answers about streams. */
import type { Line as LineOf } from '../soak-kit/recorder.ts'

/** An entry as some answer showed it. `digest` is that of all its bytes: body, attestation, signature and proof. */
export type Seen = {
  /** Place in what was read: the stream, or one subset of it. */
  readonly at: number
  readonly sequence: number
  readonly uid: string
  readonly digest: string
}

/** An entry as an anchor holds it, with what links it to others. */
export type Held = Seen & {
  readonly epoch: number
  readonly previous: string
  readonly subset: string
  readonly subSequence: number
  readonly subPrevious: string
  readonly body: string
}

/** `body` is a digest; every body is published once. `line` is the place in a batch that never ends. */
export type Publish = {
  readonly stream: string
  readonly subset: string
  readonly body: string
  readonly line?: number | undefined
}

export type Acknowledged = {
  readonly sequence: number
  /** A batch tells places alone. */
  readonly uid?: string | undefined
  readonly digest?: string | undefined
  /** Home anchors whose signature over the receipt was checked. */
  readonly signers?: number | undefined
}

/** `held` is a page that is read when all is over, to see what an anchor has. */
export type Read = {
  readonly how: 'events' | 'sockets' | 'live' | 'page' | 'held'
  readonly stream: string
  readonly subset?: string | undefined
  /** Readers that go on from their own cursor have a name; it is one sequence, through all their calls. */
  readonly reader?: string | undefined
  /** Left out where the SDK chooses. */
  readonly anchor?: string | undefined
  readonly after: number
}

export type Head = {
  readonly anchor: string
  readonly stream: string
  readonly sequence: number
  readonly certified: number
  readonly uid: string
}

/** How far a service node has come in a subset that an instance on it follows. */
export type Followed = {
  readonly node: string
  readonly stream: string
  readonly subset: string
  readonly after: number
}

/** `info` ends a call of which nobody knows whether it had an effect, or only tells something. */
export type What =
  | ({ readonly kind: 'invoke'; readonly f: 'publish' } & Publish)
  | ({ readonly kind: 'ok'; readonly f: 'publish' } & Acknowledged)
  | { readonly kind: 'fail' | 'info'; readonly f: 'publish'; readonly code: string }
  | ({ readonly kind: 'invoke'; readonly f: 'read' } & Read)
  | { readonly kind: 'ok'; readonly f: 'read'; readonly entries: readonly (Seen | Held)[] }
  | { readonly kind: 'fail' | 'info'; readonly f: 'read'; readonly code: string }
  | ({ readonly kind: 'info'; readonly f: 'head' } & Head)
  | ({ readonly kind: 'info'; readonly f: 'followed' } & Followed)
  | { readonly kind: 'invoke'; readonly f: 'fault'; readonly name: string; readonly detail: string }
  | { readonly kind: 'ok' | 'fail'; readonly f: 'fault'; readonly name: string; readonly detail: string }
  /** An answer that nothing excuses: it contradicts its own signature, its place, or what the API promises. */
  | { readonly kind: 'info'; readonly f: 'wrong'; readonly detail: string }

export type Line = LineOf<What>
