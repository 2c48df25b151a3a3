/** Text under a passphrase: AES-256-GCM with a key that PBKDF2 makes of it; the file says how, within limits. */
import {
  canonicalJson,
  fromHex,
  integer,
  oneOfText,
  record,
  type ShapeOf,
  SmartLayerError,
  text,
  toHex,
} from '@smartlayer/protocol'

const ITERATIONS = 600_000
/** Fewer would be weak; more would let a file keep its reader busy. */
const ITERATIONS_WITHIN = [100_000, 10_000_000] as const
const SEALED_LIMIT = 4 * 1024 * 1024

const headerShape = {
  format: integer(1, 1),
  cipher: oneOfText('AES-256-GCM'),
  derivation: oneOfText('PBKDF2-HMAC-SHA-256'),
  iterations: integer(...ITERATIONS_WITHIN),
  salt: text(66),
  nonce: text(26),
}
const sealedShape = record({ sealed: record(headerShape), content: text(SEALED_LIMIT) })
type Sealed = ShapeOf<typeof sealedShape>

/** True for what `seal` made. */
export function isSealed(json: unknown): boolean {
  return typeof json === 'object' && json !== null && Object.hasOwn(json, 'sealed')
}

/** The sealed file as canonical JSON. */
export async function seal(plain: string, passphrase: string): Promise<string> {
  const header: Sealed['sealed'] = {
    format: 1,
    cipher: 'AES-256-GCM',
    derivation: 'PBKDF2-HMAC-SHA-256',
    iterations: ITERATIONS,
    salt: toHex(globalThis.crypto.getRandomValues(new Uint8Array(32))),
    nonce: toHex(globalThis.crypto.getRandomValues(new Uint8Array(12))),
  }
  const key = await keyOf(passphrase, header, 'encrypt')
  const content = await globalThis.crypto.subtle.encrypt(algorithmOf(header), key, new TextEncoder().encode(plain))
  return canonicalJson({ sealed: header, content: Buffer.from(content).toString('base64') })
}

/** Throws `message.malformed`, `archive.passphrase`. */
export async function open(json: unknown, passphrase: string): Promise<string> {
  const { sealed, content } = sealedShape.parse(json, 'file')
  const key = await keyOf(passphrase, sealed, 'decrypt')
  try {
    const plain = await globalThis.crypto.subtle.decrypt(algorithmOf(sealed), key, Buffer.from(content, 'base64'))
    return new TextDecoder('utf-8', { fatal: true }).decode(plain)
  } catch (cause) {
    throw SmartLayerError.because(cause, 'archive.passphrase')
  }
}

/** The header is covered too: nobody changes how the key is made without its being noticed. */
function algorithmOf(header: Sealed['sealed']): AesGcmParams {
  return {
    name: 'AES-GCM',
    iv: bytesOf(header.nonce),
    additionalData: new TextEncoder().encode(canonicalJson(header)),
  }
}

async function keyOf(passphrase: string, { salt, iterations }: Sealed['sealed'], use: KeyUsage): Promise<CryptoKey> {
  const { subtle } = globalThis.crypto
  const given = await subtle.importKey('raw', new TextEncoder().encode(passphrase), 'PBKDF2', false, ['deriveKey'])
  const derivation = { name: 'PBKDF2', hash: 'SHA-256', salt: bytesOf(salt), iterations }
  return subtle.deriveKey(derivation, given, { name: 'AES-GCM', length: 256 }, false, [use])
}

function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(fromHex(hex as `0x${string}`))
}
