/** What a token's author imports: small enough to be bundled into every script, free of XML and cryptography. */
export { install } from './define/runtime.ts'
export type {
  Answer,
  Attempt,
  Context,
  ContractDefinition,
  EffectHttpRequest,
  Failure,
  IssuerDefinition,
  MessageDefinition,
  Next,
  OutsideDefinition,
  Read,
  ReadDefinition,
  Reads,
  SendDefinition,
  TokenDefinition,
  TokenSource,
} from './define/token.ts'
export { defineToken } from './define/token.ts'
export { type Infer, type Schema, v } from './define/values.ts'
export type { Json } from './schema/json-schema.ts'
