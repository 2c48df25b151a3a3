/** What a journal entry carries, and when it counts: every input is attested, bound to its context, in its order. */
import { checkGrant } from '../access/grant.ts'
import { Action, type AttestedGrant } from '../access/messages.ts'
import type { Attestation } from '../attestation/envelope.ts'
import { type InputData, SLInput } from '../attestation/schemas.ts'
import { CLOCK_TOLERANCE_S, checkWindow, INPUT_LIFE_LIMIT_S, verifyInput } from '../attestation/verify.ts'
import {
  CURSOR_CEILING,
  checkReceived,
  checkSent,
  HOP_LIMIT,
  type MessageDoor,
  type MessageInput,
  neverTaken,
  type ReceiptInput,
  Received,
} from '../composition/message.ts'
import { outcomeContext } from '../directory/ids.ts'
import type { AttemptEnd } from '../execution/effects.ts'
import { OutsideAnswer } from '../execution/messages.ts'
import type { TokenRules } from '../execution/rules.ts'
import { mayBeDue } from '../lifecycle/expiry.ts'
import { Retire } from '../lifecycle/messages.ts'
import { type Address, type Bytes32, fromHex, type Hex, toHex, utf8, ZERO_32 } from '../primitives/bytes.ts'
import type { Crypto } from '../primitives/crypto.ts'
import { type Domain, digestOf } from '../primitives/domain.ts'
import { accept, ignore, reject, type Verdict } from '../primitives/verdict.ts'
import { batchUidOf, type EntryContext, type OpenEntry, openEntry, type StreamRule } from '../stream/entry.ts'
import { ownTime } from '../stream/fork.ts'
import type { StreamItem } from '../stream/item.ts'
import type { Entry } from './messages.ts'

/** The body of an attempt: which effect, and which attempt at it. */
export type AttemptBody = { readonly effect: Bytes32; readonly name: string; readonly attempt: number }

/** The body of an outcome. `answer` is the outside system's body with the signature that its declaration asks for. */
export type OutcomeBody = AttemptBody & {
  readonly end: AttemptEnd
  readonly reason: string
  readonly answer: {
    readonly status: number
    readonly request: Bytes32
    readonly body: string
    readonly signature: string
  } | null
}

export type JournalInput =
  | { readonly kind: 'term-start' }
  | (StreamItem & {
      readonly kind: 'input'
      readonly name: string
      /** The issuer took this entry back: it moves the cursor, and no script sees it. */
      readonly revocation?: StreamItem | undefined
    })
  | {
      readonly kind: 'action'
      readonly action: Action
      readonly signature: Hex
      readonly grant: AttestedGrant | undefined
      readonly args: string
    }
  | { readonly kind: 'attempt'; readonly attestation: Attestation; readonly body: string }
  | { readonly kind: 'outcome'; readonly attestation: Attestation; readonly body: string }
  | MessageInput
  | ReceiptInput
  | { readonly kind: 'lifecycle'; readonly end: End }

/** Why an instance ends: its time is over, or the owner of its contract says so. */
export type End = { readonly by: 'expiry' } | { readonly by: 'owner'; readonly retire: Retire; readonly signature: Hex }

/** Where an instance stands in one subset of one stream. */
export type Cursor = { readonly sequence: bigint; readonly uid: Bytes32 }
export type Cursors = Readonly<Record<string, Cursor>>

export type InputContext = {
  readonly networkId: Bytes32
  readonly domain: Domain
  readonly easDomain: Domain
  readonly crypto: Crypto
  readonly rules: TokenRules
  readonly instance: Bytes32
  readonly cursors: Cursors
  readonly executor: Address
  /** Who may have checked grants; undefined where an entry is executed that home anchors accepted. */
  readonly anchors: readonly Address[] | undefined
  /** Which home set votes for a token in a term; undefined where an entry is executed that home anchors accepted. */
  readonly homeIn?: MessageDoor['homeIn']
  /** Time of the entry in ms: validity is judged at the journal position, so that every replica judges alike. */
  readonly time: bigint
}

/** What the entry must say of its input, and the cursor that the input moves. */
export type CheckedInput = {
  readonly uid: Bytes32
  readonly content: Bytes32
  readonly cursor: { readonly key: string; readonly value: Cursor } | undefined
  /** Why no script sees it, though it moves the cursor: its time was over, it was revoked, or it is about the stream itself. */
  readonly unseen?: 'expired' | 'revoked' | 'notice' | undefined
}

export function checkInput(input: JournalInput, context: InputContext): Verdict<CheckedInput> {
  switch (input.kind) {
    case 'term-start':
      return accept({ uid: ZERO_32, content: ZERO_32, cursor: undefined })
    case 'input':
      return checkFact(input, context)
    case 'action':
      return checkAction(input, context)
    case 'attempt':
    case 'outcome':
      return checkReport(input, context)
    case 'lifecycle':
      return checkEnd(input.end, context)
    case 'message':
      return checkMessage(input, context)
    case 'receipt':
      return checkReceipt(input, context)
  }
}

/** The entry names exactly this input. */
export function entryCarries(entry: Entry, checked: CheckedInput): boolean {
  return entry.input === checked.uid && entry.content === checked.content
}

export function cursorKey(stream: Bytes32, subset: Bytes32): string {
  return `${stream}:${subset}`
}

/** The cursors after an input that was checked before, as part of its chain. */
export function cursorAfter(entry: Entry, input: JournalInput, before: Cursors): Cursors {
  if (input.kind === 'message') {
    const { sequence } = input.sent
    return { ...before, [messageKey(input.sent)]: { sequence, uid: entry.input } }
  }
  if (input.kind !== 'input') return before
  const data = SLInput.decode(fromHex(input.attestation.message.data))
  const value: Cursor = { sequence: data.subSequence, uid: entry.input }
  return { ...before, [cursorKey(data.stream, data.subset)]: value }
}

/** Where a receiver stands in the messages of one sender. */
export function messageKey({ instance, to }: Pick<MessageInput['sent'], 'instance' | 'to'>): string {
  return cursorKey(instance, to)
}

/** The hash by which bodies, arguments and answers are bound: keccak of their UTF-8 text. */
export function textHash(text: string, { keccak }: Crypto): Bytes32 {
  return toHex(keccak(utf8(text)))
}

function checkFact(input: JournalInput & { kind: 'input' }, context: InputContext): Verdict<CheckedInput> {
  const { rules } = context
  const rule = Object.hasOwn(rules.inputs, input.name) ? rules.inputs[input.name] : undefined
  if (!rule) return reject('journal.input', { detail: `the token declares no input "${input.name}"` })
  // Whether its time has come, or is over, is decided below, at the time of the entry.
  const opened = openEntry(input, entryContext(rule, input, context))
  if (opened.verdict !== 'accept') return opened
  const { data, uid, kind } = opened.value
  const nowS = context.time / 1000n
  const late = checkWindow(input.attestation.message, { nowS, lifeLimitS: INPUT_LIFE_LIMIT_S, mayStand: true })
  if (late && late.code !== 'attestation.expired') return late
  if (data.validFrom > nowS + CLOCK_TOLERANCE_S)
    return ignore('attestation.not_yet_valid', { validFrom: data.validFrom, now: nowS })
  if (data.token !== rules.token && data.token !== data.subset) {
    return reject('attestation.token', { expected: rules.token, actual: data.token })
  }
  const revoked = input.revocation ? checkRevocation(input.revocation, opened.value, { rule, context }) : undefined
  if (revoked && revoked.verdict !== 'accept') return revoked
  const key = cursorKey(data.stream, data.subset)
  const outOfOrder = wrongCursor(context.cursors[key] ?? { sequence: 0n, uid: ZERO_32 }, data)
  const cursor = { key, value: { sequence: data.subSequence, uid } }
  const unseen = late ? 'expired' : revoked ? 'revoked' : kind === 'fact' ? undefined : 'notice'
  return outOfOrder ?? accept({ uid, content: data.contentHash, cursor, unseen })
}

function entryContext(rule: StreamRule, item: StreamItem, context: InputContext): EntryContext {
  const { networkId, easDomain, crypto, rules } = context
  return { networkId, easDomain, crypto, tokenType: rules.tokenType, rules: [rule], nowS: ownTime(item) }
}

/** The revocation takes back exactly this entry, or the batch that it was signed in, and comes from the same issuer. */
function checkRevocation(
  item: StreamItem,
  { uid, item: { attestation } }: OpenEntry,
  { rule, context }: { rule: StreamRule; context: InputContext },
): Verdict<undefined> {
  const opened = openEntry(item, entryContext(rule, item, context))
  if (opened.verdict !== 'accept') return opened
  const { revocation } = opened.value
  const revokes = revocation?.of === 'batch' ? batchUidOf(attestation, context.crypto.keccak) : uid
  if (revocation && revocation.revokes === revokes) return accept(undefined)
  return reject('journal.input', { detail: 'the revocation is of something else' })
}

function wrongCursor(cursor: Cursor, data: InputData): Verdict<never> | undefined {
  if (data.subSequence <= cursor.sequence) return ignore('stream.already_known', { sequence: data.subSequence })
  if (data.subSequence !== cursor.sequence + 1n || data.subPrevious !== cursor.uid) {
    return ignore('stream.subset', { next: cursor.sequence + 1n, got: data.subSequence })
  }
  return undefined
}

function checkAction(input: JournalInput & { kind: 'action' }, context: InputContext): Verdict<CheckedInput> {
  const { action } = input
  const { crypto, domain, rules } = context
  const rule = Object.hasOwn(rules.actions, action.name) ? rules.actions[action.name] : undefined
  if (!rule) return reject('query.unknown_method', { method: action.name, token: rules.token })
  const digest = digestOf(Action, action, domain, crypto.keccak)
  if (crypto.recover(digest, input.signature) !== action.audience) return reject('request.signature')
  if (action.instance !== context.instance) return reject('grant.token')
  if (action.expires < context.time) return ignore('request.expired', { time: action.expires, now: context.time })
  const args = textHash(input.args, crypto)
  if (args !== action.args) return reject('attestation.content', { expected: action.args, actual: args })
  const granted = checkGrant(input.grant, {
    ...context,
    nowS: context.time / 1000n,
    token: rules.token,
    audience: action.audience,
    scope: rule.scope,
    grantHash: action.grant,
  })
  if (granted.verdict !== 'accept') return granted
  return accept({ uid: toHex(digest), content: args, cursor: undefined })
}

function checkEnd(end: End, { rules, instance, time, domain, crypto }: InputContext): Verdict<CheckedInput> {
  if (end.by === 'expiry') {
    const due = mayBeDue(rules.expiry, time)
    return due.verdict === 'accept' ? accept({ uid: ZERO_32, content: ZERO_32, cursor: undefined }) : due
  }
  const digest = digestOf(Retire, end.retire, domain, crypto.keccak)
  const signer = crypto.recover(digest, end.signature)
  if (!signer || signer !== rules.owner)
    return reject('attestation.signer', { signer: signer ?? 'nobody', role: 'owner of the contract' })
  if (end.retire.instance !== instance) return reject('grant.token')
  return accept({ uid: toHex(digest), content: ZERO_32, cursor: undefined })
}

/** A message of another instance: proven by its replicas and its commit, declared, and next of its sender. */
function checkMessage(input: MessageInput, context: InputContext): Verdict<CheckedInput> {
  const { rules, cursors } = context
  const checked = checkSent(input, rules.token, { ...context, homeIn: context.homeIn })
  if (checked.verdict !== 'accept') return checked
  const { id, name, hops, content, sequence } = checked.value
  const never = neverTaken({ name, hops, from: input.from }, rules.messages)
  if (never) return reject(never, { limit: HOP_LIMIT })
  const key = messageKey(input.sent)
  const next = (cursors[key]?.sequence ?? 0n) + 1n
  if (sequence !== next) return ignore('delivery.order', { next, got: sequence })
  if (!(key in cursors) && Object.keys(cursors).length >= CURSOR_CEILING)
    return reject('delivery.too_many_correspondents', { limit: CURSOR_CEILING })
  return accept({ uid: id, content, cursor: { key, value: { sequence, uid: id } } })
}

/** What became of a message; that it is one of this outbox is seen when the entry is executed. */
function checkReceipt(input: ReceiptInput, context: InputContext): Verdict<CheckedInput> {
  const checked = checkReceived(input, context.instance, { ...context, homeIn: context.homeIn })
  if (checked.verdict !== 'accept') return checked
  const { domain, crypto } = context
  const uid = toHex(digestOf(Received, checked.value, domain, crypto.keccak))
  return accept({ uid, content: ZERO_32, cursor: undefined })
}

/** Attempts and outcomes are attested by the executor; an outside system's own signature inside is checked too. */
function checkReport(
  input: JournalInput & { kind: 'attempt' | 'outcome' },
  context: InputContext,
): Verdict<CheckedInput> {
  const { crypto, rules, networkId } = context
  const body = parseReport(input.body)
  if (!body) return reject('journal.input', { detail: `the body of the ${input.kind} is malformed` })
  const verified = verifyInput(input.attestation, {
    domain: context.easDomain,
    crypto,
    nowS: context.time / 1000n,
    issuers: [context.executor],
    context: outcomeContext(networkId, rules.scriptHash, body.effect, crypto.keccak),
  })
  if (verified.verdict !== 'accept') return verified
  const content = textHash(input.body, crypto)
  const { data } = verified.value
  if (content !== data.contentHash)
    return reject('attestation.content', { expected: data.contentHash, actual: content })
  if (input.kind === 'outcome') {
    const unsigned = unsignedAnswer(body as OutcomeBody, context)
    if (unsigned) return unsigned
  }
  return accept({ uid: verified.value.verified.uid, content, cursor: undefined })
}

function unsignedAnswer(
  { answer, effect, name, end }: OutcomeBody,
  { rules, crypto, domain }: InputContext,
): Verdict<never> | undefined {
  const rule = Object.hasOwn(rules.effects, name) ? rules.effects[name] : undefined
  if (!rule) return reject('effect.unknown', { effect: name })
  if (end !== 'answered') return undefined
  if (!answer) return reject('journal.input', { detail: 'an answered outcome without its answer' })
  if (!rule.attestedBy) return undefined
  const signed = outsideAnswerDigest({ effect, ...answer }, { crypto, domain })
  const signer = /^0x[0-9a-f]{130}$/.test(answer.signature)
    ? crypto.recover(signed, answer.signature as Hex)
    : undefined
  return signer === rule.attestedBy ? undefined : reject('effect.answer_unsigned', { host: name })
}

/** The digest that an outside system signs over its answer to one effect. */
export function outsideAnswerDigest(
  { effect, request, status, body }: { effect: Bytes32; request: Bytes32; status: number; body: string },
  { crypto, domain }: { crypto: Crypto; domain: Domain },
): Uint8Array {
  const answer = { effect, request, status: BigInt(status), content: textHash(body, crypto) }
  return digestOf(OutsideAnswer, answer, domain, crypto.keccak)
}

/** Reads the body of an attempt or outcome; undefined when it is not one. */
export function parseReport(text: string): AttemptBody | OutcomeBody | undefined {
  let body: Record<string, unknown>
  try {
    body = JSON.parse(text)
  } catch {
    return undefined
  }
  const isAttempt =
    typeof body === 'object' &&
    body !== null &&
    typeof body.effect === 'string' &&
    /^0x[0-9a-f]{64}$/.test(body.effect) &&
    typeof body.name === 'string' &&
    Number.isSafeInteger(body.attempt)
  if (!isAttempt) return undefined
  if (body.end === undefined) return body as AttemptBody
  const ends: unknown[] = ['answered', 'failed', 'lost'] satisfies AttemptEnd[]
  if (!ends.includes(body.end) || typeof body.reason !== 'string') return undefined
  return body.answer === null || isAnswer(body.answer) ? (body as OutcomeBody) : undefined
}

function isAnswer(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { status, request, body, signature } = value as Record<string, unknown>
  return (
    Number.isSafeInteger(status) &&
    typeof request === 'string' &&
    /^0x[0-9a-f]{64}$/.test(request) &&
    typeof body === 'string' &&
    typeof signature === 'string'
  )
}
