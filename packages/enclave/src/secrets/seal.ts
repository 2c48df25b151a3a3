/** Secrets sealed to one node's key: HPKE (RFC 9180) with X25519, HKDF-SHA256 and AES-256-GCM. */
import { existsSync } from 'node:fs'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core'
import { type Hex, SmartLayerError, toHex } from '@smartlayer/protocol'

const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() })
const KEY_BYTES = 32
const INFO = new TextEncoder().encode('smartlayer/secret/1')

/** Seals to a raw X25519 public key; `context` must be the same when it is opened. */
export async function seal(publicKey: Uint8Array, plaintext: Uint8Array, context: string): Promise<Uint8Array> {
  const recipientPublicKey = await suite.kem.deserializePublicKey(buffer(publicKey))
  const sender = await suite.createSenderContext({ recipientPublicKey, info: INFO })
  const sealed = await sender.seal(buffer(plaintext), new TextEncoder().encode(context))
  return Uint8Array.from([...new Uint8Array(sender.enc), ...new Uint8Array(sealed)])
}

/** A node's sealing key: what it publishes, and how it opens. Throws `attestation.content` for what was not sealed to it so. */
export type SealingOpener = { readonly publicKey: Hex; open(sealed: Uint8Array, context: string): Promise<string> }

/** Reads the key of a file, or makes one (mode 0600). */
export async function sealingOpener(path: string): Promise<SealingOpener> {
  if (!existsSync(path)) await makeKey(path)
  const privateKey = await suite.kem.deserializePrivateKey(buffer(Buffer.from(await readFile(path, 'utf8'), 'base64')))
  const publicKey = await derivePublicKey(privateKey)
  return {
    publicKey: toHex(publicKey),
    async open(sealed, context) {
      try {
        const enc = buffer(sealed.subarray(0, KEY_BYTES))
        const recipient = await suite.createRecipientContext({ recipientKey: privateKey, enc, info: INFO })
        const opened = await recipient.open(buffer(sealed.subarray(KEY_BYTES)), new TextEncoder().encode(context))
        return new TextDecoder().decode(opened)
      } catch (error) {
        throw SmartLayerError.because(error, 'attestation.content', {
          expected: 'sealed to this node',
          actual: context,
        })
      }
    },
  }
}

async function makeKey(path: string): Promise<void> {
  const { privateKey } = await suite.kem.generateKeyPair()
  const raw = Buffer.from(await suite.kem.serializePrivateKey(privateKey)).toString('base64')
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const file = await open(`${path}.new`, 'w', 0o600)
  await file.writeFile(raw)
  await file.sync()
  await file.close()
  await rename(`${path}.new`, path)
}

async function derivePublicKey(privateKey: CryptoKey): Promise<Uint8Array> {
  const jwk = await crypto.subtle.exportKey('jwk', privateKey)
  return Uint8Array.from(Buffer.from(jwk.x ?? '', 'base64url'))
}

function buffer(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer
}
