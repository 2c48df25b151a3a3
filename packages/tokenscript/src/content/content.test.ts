/** Names of content and the two text encodings that files need, compared with implementations that others use. */
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'
import { expect, test } from 'vitest'
import { fromBase64, toBase64 } from './base64.ts'
import { cidOf, parseIpfsUri } from './cid.ts'
import { decodeUtf8 } from './utf8.ts'

test('a CID equals the one of multiformats', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      expect(cidOf(bytes)).toBe(CID.createV1(0x55, await sha256.digest(bytes)).toString())
    }),
  )
})

test('an address names a CID and a path', () => {
  const cid = cidOf(Uint8Array.of(1))
  const v0 = 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG'
  expect(parseIpfsUri(`ipfs://${cid}`)).toEqual({ cid, path: '' })
  expect(parseIpfsUri(`ipfs://ipfs/${cid}/a/b.tsml`)).toEqual({ cid, path: '/a/b.tsml' })
  expect(parseIpfsUri(`ipfs://${v0}`)).toEqual({ cid: v0, path: '' })
  expect(CID.parse(v0).version).toBe(0)
})

test.each([
  '',
  'ipfs://',
  `https://${cidOf(Uint8Array.of(1))}`,
  'ipfs://bafy',
  `ipfs://${cidOf(Uint8Array.of(1)).toUpperCase()}`,
  `ipfs://${cidOf(Uint8Array.of(1))}?x`,
])('%s is no address', (text) => {
  expect(parseIpfsUri(text)).toBeUndefined()
})

test('base64 is the one of Node, and only that', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      const text = Buffer.from(bytes).toString('base64')
      expect(toBase64(bytes)).toBe(text)
      expect(fromBase64(text)).toEqual(bytes)
    }),
  )
  expect(fromBase64(' QU\nJD ')).toEqual(Uint8Array.of(65, 66, 67))
  for (const wrong of ['QQ', 'QQ=', 'QR==', 'Q===', '====', 'QUJD====', 'QU-D', 'QUJ\u00a0D', 'QQ==QQ=='])
    expect(fromBase64(wrong), wrong).toBeUndefined()
})

test('UTF-8 is decoded as the platform does, or refused as it does', () => {
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const expected = (bytes: Uint8Array): string | undefined => {
    try {
      return strict.decode(bytes)
    } catch {
      return undefined
    }
  }
  const nearMisses = fc.array(
    fc.constantFrom(0x41, 0x80, 0xbf, 0xc1, 0xc2, 0xe0, 0xa0, 0x9f, 0xed, 0xef, 0xbb, 0xf0, 0x90, 0xf4, 0x8f, 0xf5),
    { maxLength: 8 },
  )
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      (text) => decodeUtf8(new TextEncoder().encode(text)) === text.toWellFormed(),
    ),
  )
  fc.assert(
    fc.property(
      nearMisses.map((bytes) => Uint8Array.from(bytes)),
      (bytes) => decodeUtf8(bytes) === expected(bytes),
    ),
    { numRuns: 3000 },
  )
  expect(decodeUtf8(new TextEncoder().encode('é😀'.repeat(20_000)))).toBe('é😀'.repeat(20_000))
})
