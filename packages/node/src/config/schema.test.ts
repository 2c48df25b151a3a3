import { describe, expect, test } from 'vitest'
import { parseConfig, parseFaults } from './schema.ts'

const ADDRESS = `0x${'a1'.repeat(20)}`
const CONFIG = {
  role: 'anchor',
  name: 'anchor-1',
  folder: '/tmp/anchor-1',
  chain: { url: 'http://127.0.0.1:8545', id: 1 },
  contracts: { nodeRegistry: ADDRESS, tokenRegistry: ADDRESS, eas: ADDRESS },
  overlay: '127.0.0.1:7000',
  apiPort: 7001,
  executor: 'executor.js',
  engine: 'engine.wasm',
}

describe('faults in a configuration', () => {
  test('are what a development node may have', () => {
    expect(parseConfig(CONFIG).faults).toBeUndefined()
    const faults = { loss: 0.2, jitterMs: 50 }
    expect(parseConfig({ ...CONFIG, development: true, faults }).faults).toEqual(faults)
  })

  test('are refused outside development, and it says why', () => {
    for (const faults of [{}, { loss: 0 }, { loss: 0.2 }]) {
      expect(() => parseConfig({ ...CONFIG, faults })).toThrow(
        expect.objectContaining({
          code: 'config.invalid',
          message: expect.stringContaining('unless development is true'),
          facts: expect.objectContaining({ at: 'faults' }),
        }),
      )
    }
  })

  test.each([
    ['faults.loss', { loss: 1.1 }],
    ['faults.loss', { loss: '0.2' }],
    ['faults.jitterMs', { jitterMs: -1 }],
    ['faults.duplicate', { duplicate: Number.NaN }],
    ['faults', { cut: 'all' }],
  ])('are refused at %s when they are %j', (at, faults) => {
    expect(() => parseConfig({ ...CONFIG, development: true, faults })).toThrow(
      expect.objectContaining({ code: 'config.invalid', facts: expect.objectContaining({ at }) }),
    )
  })
})

describe('a change of faults', () => {
  test('names what it changes', () => {
    expect(parseFaults({})).toEqual({})
    expect(parseFaults({ loss: 0.5, cut: [ADDRESS] })).toEqual({ loss: 0.5, cut: [ADDRESS] })
    expect(parseFaults({ cut: 'all' })).toEqual({ cut: 'all' })
  })

  test.each([undefined, null, [], 'all', { lost: 1 }, { cut: 'most' }, { cut: ['0x1'] }, { jitterMs: 1e9 }])(
    'is refused when it is %j',
    (change) => {
      expect(() => parseFaults(change)).toThrow(expect.objectContaining({ code: 'api.body_invalid' }))
    },
  )
})
