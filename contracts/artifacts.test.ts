/** The committed artifacts are those of the committed sources. */
import { describe, expect, it } from 'vitest'
import * as artifacts from './artifacts/index.ts'
import { sourcesHash } from './forge.ts'

const { sourcesHash: builtFrom, ...contracts } = artifacts

describe('the committed artifacts', () => {
  it('were built from the Solidity sources as they are now (else: run contracts/build.ts)', () => {
    expect(builtFrom).toBe(sourcesHash())
  })

  it('hold an ABI and a bytecode of each contract', () => {
    for (const [name, artifact] of Object.entries(contracts)) {
      if (name.endsWith('Abi')) expect(artifact, name).toBeInstanceOf(Array)
      else expect(artifact, name).toMatch(/^0x6[01][0-9a-f]{100,}$/)
    }
    expect(Object.keys(contracts).length).toBeGreaterThanOrEqual(12)
  })
})
