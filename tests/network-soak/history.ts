/** What processes of the soak write down: facts, actions, queries, journals, calls outside, and what was done to nodes. */
import type { Line as LineOf } from '../soak-kit/recorder.ts'

export type EffectName = 'charge' | 'call'

/** The state of the token, as its query returns it. */
export type Tally = { readonly last: number; readonly sum: number; readonly gaps: number }
export type Shown = {
  readonly own: Tally
  readonly all: Tally
  readonly asked: number
  readonly skipped: number
  readonly charged: number
  readonly called: number
  readonly uncertain: number
  readonly acted: number
  readonly actionSum: number
}

/** `topic` is `all`, or the id of one token; `index` counts the facts of a topic from 1. */
export type Fact = {
  readonly topic: string
  readonly index: number
  readonly add: number
  readonly effect: 'none' | EffectName
}

/** A journal entry by its hash, with what a model of the token needs of its input. */
export type Entry = {
  readonly token: string
  readonly n: number
  readonly hash: string
  readonly previous: string
  readonly term: number
  readonly input:
    | { readonly kind: 'term-start' }
    | ({ readonly kind: 'input'; readonly name: 'own' | 'all' } & Omit<Fact, 'topic'>)
    | { readonly kind: 'action'; readonly digest: string; readonly id: string; readonly by: number }
    | { readonly kind: 'attempt'; readonly effect: string; readonly name: EffectName; readonly attempt: number }
    | {
        readonly kind: 'outcome'
        readonly effect: string
        readonly name: EffectName
        readonly attempt: number
        readonly end: 'answered' | 'failed' | 'lost'
      }
}

/** Hashes that an anchor showed as committed, at consecutive places from `from` on. */
export type Shows = {
  readonly anchor: string
  readonly token: string
  readonly from: number
  readonly hashes: readonly string[]
}

/** One request at a system outside, by the key that it carried and by what it is for. */
export type Request = {
  readonly api: 'bank' | 'phone'
  /** Counts requests at this system, over all its lives. */
  readonly request: number
  readonly key: string
  readonly id: string
  readonly node: string
}

export type Memory = { readonly node: string; readonly pid: number; readonly rssMb: number }

export type What =
  | ({ readonly kind: 'invoke'; readonly f: 'publish' } & Fact)
  | { readonly kind: 'ok'; readonly f: 'publish'; readonly sequence: number }
  | { readonly kind: 'fail' | 'info'; readonly f: 'publish'; readonly code: string }
  | { readonly kind: 'invoke'; readonly f: 'act'; readonly token: string; readonly id: string; readonly by: number }
  | { readonly kind: 'ok'; readonly f: 'act'; readonly digest: string; readonly n: number; readonly refused: string }
  | { readonly kind: 'fail' | 'info'; readonly f: 'act'; readonly code: string }
  | {
      readonly kind: 'invoke'
      readonly f: 'query'
      readonly token: string
      readonly minN: number
      readonly how: 'plain' | 'public' | 'fresh' | 'linearizable'
    }
  | {
      readonly kind: 'ok'
      readonly f: 'query'
      readonly n: number
      readonly root: string
      readonly stale: boolean
      readonly shown: Shown
    }
  | { readonly kind: 'fail' | 'info'; readonly f: 'query'; readonly code: string }
  | ({ readonly kind: 'info'; readonly f: 'entry' } & Entry)
  | ({ readonly kind: 'info'; readonly f: 'shows' } & Shows)
  | {
      readonly kind: 'info'
      readonly f: 'root'
      readonly node: string
      readonly token: string
      readonly n: number
      readonly root: string
    }
  | ({
      readonly kind: 'info'
      readonly f: 'request'
      readonly step: 'arrived' | 'executed' | 'refused' | 'answered'
    } & Request)
  /** How far an anchor's journal goes in the end. */
  | { readonly kind: 'info'; readonly f: 'end'; readonly anchor: string; readonly token: string; readonly n: number }
  | ({ readonly kind: 'info'; readonly f: 'memory' } & Memory)
  | { readonly kind: 'info'; readonly f: 'log'; readonly node: string; readonly line: string }
  | { readonly kind: 'info'; readonly f: 'orphan'; readonly pid: number; readonly command: string }
  | { readonly kind: 'info'; readonly f: 'looked'; readonly at: 'logs' | 'processes'; readonly count: number }
  | { readonly kind: 'invoke'; readonly f: 'fault'; readonly name: string; readonly detail: string }
  | {
      readonly kind: 'ok' | 'fail'
      readonly f: 'fault'
      readonly name: string
      readonly detail: string
      /** Processes that were killed or stopped. */
      readonly struck: number
      readonly wholeMs: number
    }
  /** An answer that nothing excuses. */
  | { readonly kind: 'info'; readonly f: 'wrong'; readonly detail: string }

export type Line = LineOf<What>
