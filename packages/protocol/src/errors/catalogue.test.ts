import { expect, test } from 'vitest'
import { type Code, catalogue } from './catalogue.ts'
import { isSmartLayerError, SmartLayerError } from './smart-layer-error.ts'

test('every code names its domain and reason, and says how to fix it', () => {
  for (const [code, { fix }] of Object.entries(catalogue)) {
    expect(code).toMatch(/^[a-z]+\.[a-z_]+$/)
    expect(fix.length, code).toBeGreaterThan(10)
  }
})

test('an error carries its code, facts, text and consequences', () => {
  const error = SmartLayerError.of('stream.sequence_gap', { next: 4n, got: 7n })
  expect(error).toMatchObject({
    code: 'stream.sequence_gap',
    kind: 'conflict',
    retryable: true,
    facts: { next: 4n, got: 7n },
  })
  expect(error.message).toBe('The stream continues at 4, not 7.')
  expect(isSmartLayerError(error)).toBe(true)
})

test('an error that came as data keeps its code, and an unknown code becomes a bug', () => {
  expect(SmartLayerError.fromData('grant.revoked', {}).code).toBe('grant.revoked')
  expect(SmartLayerError.fromData('made.up', {}).code).toBe('bug.unexpected')
})

test('facts that do not fit the text do not break the error', () => {
  for (const code of Object.keys(catalogue) as Code[])
    expect(SmartLayerError.fromData(code, {}).message.length).toBeGreaterThan(0)
})
