/** The state of an instance and how one committed entry changes it: the same on every replica, bit for bit. */
import { canonicalJson } from '../attestation/content.ts'
import {
  HOP_LIMIT,
  messageIdOf,
  OUTBOX_LIMIT,
  type Outgoing,
  RECEIVER_LIMIT,
  type ReceiptInput,
} from '../composition/message.ts'
import { effectIdOf, parseTokenRef, subsetOf, tokenOf } from '../directory/ids.ts'
import type { CheckedInput, Cursor, End, JournalInput, OutcomeBody } from '../journal/input.ts'
import { messageKey, parseReport } from '../journal/input.ts'
import type { Entry } from '../journal/messages.ts'
import { dueTime, type Ended } from '../lifecycle/expiry.ts'
import { type Bytes32, toHex, utf8 } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { attempted, type Effect, ended, isOpen, OPEN_EFFECT_LIMIT } from './effects.ts'
import type { TokenRules } from './rules.ts'

/** Largest canonical state of an instance, in UTF-16 units. */
export const STATE_LIMIT = 65_536
const SETTLED_EFFECTS_KEPT = 32
/** Actions of an instance that may be remembered at a time; more must wait until some expire. */
const ACTIONS_KEPT = 256

/** JSON that a script computes with. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** One subset that the instance follows: the input's name and the readable key of the subset. */
export type Topic = { readonly input: string; readonly subset: string }

export type InstanceState = {
  readonly instance: Bytes32
  readonly incarnation: string
  readonly n: string
  readonly data: Json
  readonly topics: readonly Topic[]
  readonly cursors: Readonly<Record<string, { readonly sequence: string; readonly uid: Bytes32 }>>
  readonly effects: readonly Effect[]
  /** Actions taken, by digest, until they expire: none is taken twice. */
  readonly actions: Readonly<Record<Bytes32, string>>
  /** Messages without receipt, in their order, and the last place to each receiver; only once there was one. */
  readonly outbox?: readonly Outgoing[] | undefined
  readonly sent?: Readonly<Record<Bytes32, string>> | undefined
  /** Why the last message of a sender changed nothing, by the sender's cursor. */
  readonly declined?: Readonly<Record<string, string>> | undefined
  /** Why the last input changed nothing, or empty. */
  readonly refused: string
  /** Time of the first entry, where the script declares an age. */
  readonly since?: string
  /** How it ended; left out while it lives. */
  readonly ended?: Ended
}

/** One call of the script. `method` and the JSON input are those of the sandbox contract (docs/spec/token.md). */
export type HandlerCall = {
  readonly method: 'init' | 'input' | 'action' | 'outcome' | 'message' | 'sent'
  readonly input: Json
}

/** What the script made of a call; `refused` is an error code. The state then stays as it was. */
export type HandlerResult =
  | {
      readonly data: Json
      readonly effects: readonly { readonly name: string; readonly payload: Json }[]
      readonly topics: readonly Topic[]
      /** `to` is a CAIP-19 id, `body` canonical JSON. */
      readonly messages?: readonly { readonly to: string; readonly name: string; readonly body: string }[]
    }
  | { readonly refused: string }

export function genesisState(instance: Bytes32, incarnation: bigint): InstanceState {
  return {
    instance,
    incarnation: String(incarnation),
    n: '0',
    data: null,
    topics: [],
    cursors: {},
    effects: [],
    actions: {},
    refused: '',
  }
}

/** The root that replicas sign: keccak of the canonical JSON of the whole state. */
export function stateRoot(state: InstanceState, keccak: Hasher): Bytes32 {
  return toHex(keccak(utf8(canonicalJson(state))))
}

export function cursorsOf(state: InstanceState): Readonly<Record<string, Cursor>> {
  return Object.fromEntries(
    Object.entries(state.cursors).map(([key, { sequence, uid }]) => [key, { sequence: BigInt(sequence), uid }]),
  )
}

/** The script call that an entry asks for, or undefined when the entry changes only what the network itself keeps. */
export function handlerCall(
  state: InstanceState,
  { entry, input, checked }: { entry: Entry; input: JournalInput; checked: CheckedInput },
  { rules, keccak }: { rules: TokenRules; keccak: Hasher },
): HandlerCall | undefined {
  if (state.ended) return undefined
  const common = { state: state.data, instance: state.instance, time: Number(entry.time) }
  switch (input.kind) {
    case 'term-start':
    case 'attempt':
    case 'lifecycle':
      return undefined
    case 'input': {
      const followed = state.topics.some(
        (topic) => topic.input === input.name && checked.cursor?.key.endsWith(`:${subsetOf(topic.subset, keccak)}`),
      )
      return followed && !checked.unseen
        ? { method: 'input', input: { ...common, name: input.name, body: bodyOf(input.body) } }
        : undefined
    }
    case 'action': {
      if (checked.uid in state.actions || runningActions(state, entry.time).length >= ACTIONS_KEPT) return undefined
      return { method: 'action', input: { ...common, name: input.action.name, args: JSON.parse(input.args) } }
    }
    case 'outcome':
      return outcomeCall(state, parseReport(input.body) as OutcomeBody, { common, rules })
    case 'message': {
      const { from, sent, body } = input
      return { method: 'message', input: { ...common, name: sent.name, from, body: bodyOf(body) } }
    }
    case 'receipt': {
      const message = outgoing(state, input)
      const { code } = input.received
      const outcome = code === '' ? { kind: 'delivered' } : { kind: 'refused', code }
      return message && { method: 'sent', input: { ...common, name: message.name, to: message.to, outcome } }
    }
  }
}

/** The state after a committed entry, given what the script made of its call. Pure, total: a bad entry changes nothing but n. */
export function applyEntry(
  state: InstanceState,
  { entry, input, checked }: { entry: Entry; input: JournalInput; checked: CheckedInput },
  result: HandlerResult | undefined,
  { rules, keccak }: { rules: TokenRules; keccak: Hasher },
): InstanceState {
  const base = begun({ ...state, n: String(entry.n), refused: '' }, entry, rules)
  if (base.ended) return input.kind === 'term-start' ? base : { ...base, refused: 'lifecycle.retired' }
  if (input.kind === 'lifecycle') return endedBy(base, { entry, end: input.end }, rules)
  const moved = advance(base, { entry, input, checked }, rules)
  const next = settle(state, moved, { entry, input, result, keccak })
  return input.kind === 'message' ? noteDeclined(next, messageKey(input.sent)) : next
}

/** What the script's result makes of the state, or the code of why it stays as it was. */
function settle(
  state: InstanceState,
  moved: InstanceState,
  {
    entry,
    input,
    result,
    keccak,
  }: { entry: Entry; input: JournalInput; result: HandlerResult | undefined; keccak: Hasher },
): InstanceState {
  if (!result) return moved
  if ('refused' in result) return { ...moved, refused: result.refused }
  const posted = post(moved, result.messages ?? [], { entry, hops: hopsAfter(state, input), keccak })
  if (typeof posted === 'string') return { ...moved, refused: posted }
  const asked = result.effects.map(
    ({ name, payload }, index): Effect => ({
      id: effectIdOf({ instance: state.instance, incarnation: entry.incarnation, n: entry.n, index }, keccak),
      name,
      payload: canonicalJson(payload),
      status: 'pending',
      attempts: 0,
      failures: 0,
      attemptTerm: '0',
      notBefore: '0',
    }),
  )
  const effects = settledLast([...moved.effects, ...asked])
  if (effects.filter(isOpen).length > OPEN_EFFECT_LIMIT) return { ...moved, refused: 'effect.too_many' }
  const next = { ...moved, ...posted, data: result.data, effects, topics: result.topics }
  return canonicalJson(next).length > STATE_LIMIT ? { ...moved, refused: 'state.too_large' } : next
}

function begun(state: InstanceState, { n, time }: Entry, { expiry }: TokenRules): InstanceState {
  return n === 1n && expiry?.by === 'age' ? { ...state, since: String(time) } : state
}

/** The end of an instance: its state stays as it is, and nothing is left to be done for it. */
function endedBy(state: InstanceState, { entry, end }: { entry: Entry; end: End }, rules: TokenRules): InstanceState {
  if (end.by === 'owner' && end.retire.incarnation !== entry.incarnation)
    return { ...state, refused: 'restore.incarnation' }
  const due = dueTime(state, rules.expiry)
  if (end.by === 'expiry' && (due === undefined || entry.time < due)) return { ...state, refused: 'lifecycle.not_due' }
  const reason = end.by === 'owner' ? 'retired' : 'expired'
  return { ...state, topics: [], ended: { reason, time: String(entry.time) } }
}

/** Messages enter the outbox in order, each with its place to its receiver. A code where that is not to be. */
function post(
  { instance, outbox = [], sent = {} }: InstanceState,
  messages: readonly { readonly to: string; readonly name: string; readonly body: string }[],
  { entry, hops, keccak }: { entry: Entry; hops: number; keccak: Hasher },
):
  | Pick<InstanceState, 'outbox' | 'sent'>
  | 'delivery.too_many_hops'
  | 'delivery.outbox_full'
  | 'delivery.too_many_correspondents' {
  if (messages.length === 0) return {}
  if (hops > HOP_LIMIT) return 'delivery.too_many_hops'
  if (outbox.length + messages.length > OUTBOX_LIMIT) return 'delivery.outbox_full'
  const places = { ...sent }
  const added = messages.map(({ to, name, body }, index): Outgoing => {
    const receiver = tokenOf(parseTokenRef(to), keccak)
    const sequence = String(BigInt(places[receiver] ?? 0) + 1n)
    places[receiver] = sequence
    const id = messageIdOf({ instance, incarnation: entry.incarnation, n: entry.n, index }, keccak)
    return { id, to, name, body, sequence, hops }
  })
  if (Object.keys(places).length > RECEIVER_LIMIT) return 'delivery.too_many_correspondents'
  return { outbox: [...outbox, ...added], sent: places }
}

/** How many messages lead to one that this input gives rise to. */
function hopsAfter(state: InstanceState, input: JournalInput): number {
  if (input.kind === 'message') return Number(input.sent.hops) + 1
  return input.kind === 'receipt' ? (outgoing(state, input)?.hops ?? 0) + 1 : 1
}

/** The message that a receipt is for: the first to its receiver, since a second one leaves after that receipt alone. */
function outgoing({ outbox = [] }: InstanceState, { from, received }: ReceiptInput): Outgoing | undefined {
  const first = outbox.find(({ to }) => to === from)
  return first?.id === received.id && first.name === received.name && BigInt(first.hops) === received.hops
    ? first
    : undefined
}

function noteDeclined(state: InstanceState, key: string): InstanceState {
  const { [key]: _, ...others } = state.declined ?? {}
  if (state.refused !== '') return { ...state, declined: { ...others, [key]: state.refused } }
  return state.declined ? { ...state, declined: others } : state
}

/** What the network itself keeps: cursors, effects, actions taken, the outbox. */
function advance(
  state: InstanceState,
  { entry, input, checked }: { entry: Entry; input: JournalInput; checked: CheckedInput },
  rules: TokenRules,
): InstanceState {
  if ((input.kind === 'input' || input.kind === 'message') && checked.cursor) {
    const { key, value } = checked.cursor
    return { ...state, cursors: { ...state.cursors, [key]: { sequence: String(value.sequence), uid: value.uid } } }
  }
  if (input.kind === 'action')
    return { ...state, actions: rememberAction(state, checked.uid, input.action.expires, entry.time) }
  if (input.kind === 'receipt') {
    const message = outgoing(state, input)
    if (!message) return { ...state, refused: 'delivery.unknown' }
    return { ...state, outbox: (state.outbox ?? []).filter(({ id }) => id !== message.id) }
  }
  if (input.kind !== 'attempt' && input.kind !== 'outcome') return state
  const report = parseReport(input.body)
  const effect = state.effects.find((e) => e.id === report?.effect)
  const rule = effect && Object.hasOwn(rules.effects, effect.name) ? rules.effects[effect.name] : undefined
  if (!report || !effect || !rule || !isOpen(effect)) return { ...state, refused: 'effect.unknown' }
  if (input.kind === 'attempt') {
    return report.attempt === effect.attempts + 1 ? replaced(state, attempted(effect, entry.term)) : state
  }
  return effect.status === 'attempting' && report.attempt === effect.attempts
    ? replaced(state, ended(effect, rule, (report as OutcomeBody).end, entry.time))
    : { ...state, refused: 'effect.unknown' }
}

function outcomeCall(
  state: InstanceState,
  report: OutcomeBody,
  { common, rules }: { common: Readonly<Record<string, Json>>; rules: TokenRules },
): HandlerCall | undefined {
  const effect = state.effects.find((e) => e.id === report.effect)
  const rule = effect && Object.hasOwn(rules.effects, effect.name) ? rules.effects[effect.name] : undefined
  if (!effect || !rule || effect.status !== 'attempting' || effect.attempts !== report.attempt) return undefined
  const { status } = ended(effect, rule, report.end, 0n)
  const call = { ...common, name: effect.name, payload: JSON.parse(effect.payload) }
  if (status === 'succeeded' && report.answer) {
    const outcome = { kind: 'succeeded', status: report.answer.status, body: bodyOf(report.answer.body) }
    return { method: 'outcome', input: { ...call, outcome } }
  }
  if (status === 'uncertain') {
    return {
      method: 'outcome',
      input: { ...call, outcome: { kind: 'uncertain', attempt: report.attempt, reason: report.reason } },
    }
  }
  return undefined
}

/** Outside bodies are JSON, or the text itself when they are not. */
function bodyOf(text: string): Json {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function replaced(state: InstanceState, effect: Effect): InstanceState {
  return { ...state, effects: state.effects.map((e) => (e.id === effect.id ? effect : e)) }
}

function settledLast(effects: readonly Effect[]): readonly Effect[] {
  const settled = effects.filter((effect) => !isOpen(effect))
  const dropped = new Set(settled.slice(0, Math.max(0, settled.length - SETTLED_EFFECTS_KEPT)))
  return effects.filter((effect) => !dropped.has(effect))
}

function rememberAction(state: InstanceState, uid: Bytes32, expires: bigint, time: bigint): InstanceState['actions'] {
  const kept = runningActions(state, time)
  return Object.fromEntries(kept.length < ACTIONS_KEPT ? [...kept, [uid, String(expires)]] : kept)
}

function runningActions(state: InstanceState, time: bigint): [string, string][] {
  return Object.entries(state.actions).filter(([, until]) => BigInt(until) >= time)
}

/** Topics behind the one that was served last come first: one that never runs dry must not keep the others waiting. */
export function topicsInTurn(topics: readonly Topic[], last: Topic | undefined): readonly Topic[] {
  const next = 1 + topics.findIndex(({ input, subset }) => input === last?.input && subset === last.subset)
  return [...topics.slice(next), ...topics.slice(0, next)]
}
