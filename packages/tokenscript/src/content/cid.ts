/** Content identifiers: the name of a file on IPFS, computed from its bytes. */
import { sha256 } from '@noble/hashes/sha2.js'
import { concat } from '@smartlayer/protocol'

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'
const CID_V1_RAW_SHA256 = Uint8Array.of(0x01, 0x55, 0x12, 0x20)
const CID_V1 = /^b[a-z2-7]{58}$/
const CID_V0 = /^Qm[1-9A-HJ-NP-Za-km-z]{44}$/
const IPFS_URI = /^ipfs:\/\/(?:ipfs\/)?([A-Za-z0-9]{46,59})(\/[^?#\s]*)?$/

/** CIDv1, codec raw, sha2-256, in base32 (`bafkrei…`): names files that are stored as one block. */
export function cidOf(bytes: Uint8Array): string {
  return `b${base32(concat(CID_V1_RAW_SHA256, sha256(bytes)))}`
}

/** An `ipfs://` address: the CID, and the path below it ('' when there is none). */
export type IpfsUri = { readonly cid: string; readonly path: string }

/** Parses `ipfs://<cid>[/path]` with a CIDv1 in base32 or a CIDv0, of a sha2-256 digest; undefined for anything else. */
export function parseIpfsUri(text: string): IpfsUri | undefined {
  if (text.length > 2048) return undefined
  const [, cid, path = ''] = IPFS_URI.exec(text) ?? []
  return cid !== undefined && (CID_V1.test(cid) || CID_V0.test(cid)) ? { cid, path } : undefined
}

function base32(bytes: Uint8Array): string {
  let text = ''
  let buffer = 0
  let bits = 0
  for (const byte of bytes) {
    buffer = ((buffer << 8) | byte) & 0xfff
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += BASE32[(buffer >> bits) & 31]
    }
  }
  return bits === 0 ? text : text + BASE32[(buffer << (5 - bits)) & 31]
}
