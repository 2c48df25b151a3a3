/** A node's keys at rest: the identity that signs, and the TLS key that the registry binds to it. */
import { createHash, createPrivateKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type Bytes32, type Hex, isHex, SmartLayerError, toHex } from '@smartlayer/protocol'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const LIFE_YEARS = 10

/** TLS key and certificate in PEM; `transportKey` is the SHA-256 of the public key (SPKI), as registered on chain. */
export type TransportIdentity = {
  readonly key: string
  readonly certificate: string
  readonly publicKey: Uint8Array
  readonly transportKey: Bytes32
}

/** Reads the identity key of a data folder, or makes one (mode 0600). */
export function identityKey(folder: string): Hex {
  const path = join(folder, 'identity.key')
  if (!existsSync(path)) writeSecret(path, toHex(randomBytes(32)))
  const key = readFileSync(path, 'utf8').trim()
  if (!isHex(key, 32)) throw SmartLayerError.of('config.invalid', { at: path, expected: '32 bytes of hex' })
  return key
}

/** Reads the transport key and certificate of a data folder, or makes them (mode 0600). */
export async function transportIdentity(folder: string): Promise<TransportIdentity> {
  const [keyPath, certificatePath] = [join(folder, 'transport.key'), join(folder, 'transport.pem')]
  if (!existsSync(keyPath) || !existsSync(certificatePath)) await makeTransport(keyPath, certificatePath)
  const [key, certificate] = [readFileSync(keyPath, 'utf8'), readFileSync(certificatePath, 'utf8')]
  createPrivateKey(key)
  const publicKey = spkiOf(new X509Certificate(certificate))
  return { key, certificate, publicKey, transportKey: transportKeyOf(publicKey) }
}

export function spkiOf(certificate: X509Certificate): Uint8Array {
  return certificate.publicKey.export({ type: 'spki', format: 'der' })
}

/** How the registry names a TLS key. */
export function transportKeyOf(spki: Uint8Array): Bytes32 {
  return `0x${createHash('sha256').update(spki).digest('hex')}`
}

async function makeTransport(keyPath: string, certificatePath: string): Promise<void> {
  // Certificates are made once in a node's life: the library is loaded only then.
  await import('reflect-metadata')
  const x509 = await import('@peculiar/x509')
  x509.cryptoProvider.set(webcrypto as Crypto)
  const keys = (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as CryptoKeyPair
  const notBefore = new Date(Date.now() - 86_400_000)
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomBytes(16).toString('hex'),
    name: 'CN=smart-layer-node',
    notBefore,
    notAfter: new Date(notBefore.getTime() + LIFE_YEARS * 365 * 86_400_000),
    signingAlgorithm: ALGORITHM,
    keys,
  })
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
  writeSecret(keyPath, `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`)
  writeSecret(certificatePath, certificate.toString('pem'))
}

/** Durable and whole, or not there: written beside, synced, then renamed. */
function writeSecret(path: string, text: string): void {
  mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 })
  const file = openSync(`${path}.new`, 'w', 0o600)
  writeSync(file, text)
  fsyncSync(file)
  closeSync(file)
  renameSync(`${path}.new`, path)
}
