/** A secret opens only for the key and the context it was sealed to. */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromHex } from '@smartlayer/protocol'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type SealingOpener, seal, sealingOpener } from './seal.ts'

const SECRET = new TextEncoder().encode('hotel-key-ä')
const CONTEXT = 'flight-ticket/HOTEL_KEY'
let folder: string
let opener: SealingOpener

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sealing-'))
  opener = await sealingOpener(join(folder, 'keys', 'sealing.key'))
})
afterAll(() => rm(folder, { recursive: true }))

const sealed = () => seal(fromHex(opener.publicKey), SECRET, CONTEXT)

test('what is sealed to a node opens there, also after a restart', async () => {
  expect(await opener.open(await sealed(), CONTEXT)).toBe('hotel-key-ä')
  const again = await sealingOpener(join(folder, 'keys', 'sealing.key'))
  expect(again.publicKey).toBe(opener.publicKey)
  expect(await again.open(await sealed(), CONTEXT)).toBe('hotel-key-ä')
})

test('sealing twice gives different bytes', async () => {
  expect(await sealed()).not.toEqual(await sealed())
})

test('another context, another key, a changed byte, a cut: nothing opens', async () => {
  const refusal = { code: 'attestation.content' }
  const other = await sealingOpener(join(folder, 'other.key'))
  await expect(opener.open(await sealed(), 'flight-ticket/OTHER')).rejects.toMatchObject(refusal)
  await expect(other.open(await sealed(), CONTEXT)).rejects.toMatchObject(refusal)
  for (const at of [0, 31, 32, 40]) {
    const changed = await sealed()
    changed[at]! ^= 1
    await expect(opener.open(changed, CONTEXT)).rejects.toMatchObject(refusal)
  }
  await expect(opener.open((await sealed()).subarray(0, 20), CONTEXT)).rejects.toMatchObject(refusal)
  await expect(opener.open(new Uint8Array(), CONTEXT)).rejects.toMatchObject(refusal)
})

test('the key file is for its owner alone, and no half-written one is left', async () => {
  const { mode } = await stat(join(folder, 'keys', 'sealing.key'))
  expect(mode & 0o777).toBe(0o600)
  expect(await readdir(join(folder, 'keys'))).toEqual(['sealing.key'])
})
