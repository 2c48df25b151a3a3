/** A node's keys at rest: the identity that signs, and the TLS key that the registry binds to it. */
import { createHash, createPrivateKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { type Bytes32, type Hex, isHex, SmartLayerError, toHex } from '@smartlayer/protocol'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const LIFE_YEARS = 10
/** File names without their endings: the key in use, and the one that is to follow it. */
const PRESENT = 'transport'
const NEXT = 'transport-next'

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

/** Reads the transport key and certificate of a data folder, or makes them (mode 0600). Throws `config.invalid`. */
export async function transportIdentity(folder: string): Promise<TransportIdentity> {
  finishPromotion(folder)
  const pair = pairIn(folder, PRESENT)
  if (!isWhole(pair)) await makeTransport(pair)
  return readTransport(pair)
}

/** The key that is to follow the present one: reads it, or makes it. It is durable before this returns. */
export async function nextTransportIdentity(folder: string): Promise<TransportIdentity> {
  finishPromotion(folder)
  const pair = pairIn(folder, NEXT)
  if (!isWhole(pair)) await makeTransport(pair)
  return readTransport(pair)
}

/**
 * Makes the next key the present one, for good, if it is the one that is registered: the old key is overwritten. A crash
 * in the middle is finished by whoever reads the keys next.
 */
export function promoteTransport(folder: string, registered: Bytes32 | undefined): void {
  const [next, present] = [pairIn(folder, NEXT), pairIn(folder, PRESENT)]
  if (!isWhole(next) || readTransport(next).transportKey !== registered) return
  renameSync(next.key, present.key)
  syncFolder(folder)
  finishPromotion(folder)
}

/**
 * The keys of a node that runs: those in its folder, which is read again when the registry names a key that is not among
 * them. Keys that were held stay until the next start, in case the registry goes back.
 */
export async function transportKeys(
  folder: string,
): Promise<(registered: Bytes32 | undefined) => readonly TransportIdentity[]> {
  const present = await transportIdentity(folder)
  const held = new Map<Bytes32, TransportIdentity>([[present.transportKey, present]])
  const readAgain = () => {
    for (const pair of [PRESENT, NEXT].map((name) => pairIn(folder, name)).filter(isWhole)) {
      const identity = readTransport(pair)
      if (!held.has(identity.transportKey)) held.set(identity.transportKey, identity)
    }
  }
  readAgain()
  return (registered) => {
    if (registered !== undefined && !held.has(registered)) readAgain()
    return [...held.values()]
  }
}

export function spkiOf(certificate: X509Certificate): Uint8Array {
  return certificate.publicKey.export({ type: 'spki', format: 'der' })
}

/** How the registry names a TLS key. */
export function transportKeyOf(spki: Uint8Array): Bytes32 {
  return `0x${createHash('sha256').update(spki).digest('hex')}`
}

type Pair = { readonly key: string; readonly certificate: string }

function pairIn(folder: string, name: string): Pair {
  return { key: join(folder, `${name}.key`), certificate: join(folder, `${name}.pem`) }
}

/** The key is written before the certificate: with both there, making them was not interrupted. */
function isWhole({ key, certificate }: Pair): boolean {
  return existsSync(key) && existsSync(certificate)
}

function readTransport(pair: Pair): TransportIdentity {
  const [key, certificate] = [readFileSync(pair.key, 'utf8'), readFileSync(pair.certificate, 'utf8')]
  const x509 = new X509Certificate(certificate)
  if (!x509.checkPrivateKey(createPrivateKey(key)))
    throw SmartLayerError.of('config.invalid', { at: pair.certificate, expected: `the certificate of ${pair.key}` })
  const publicKey = spkiOf(x509)
  return { key, certificate, publicKey, transportKey: transportKeyOf(publicKey) }
}

/** A next certificate whose key is already the present one: a promotion stopped between its two steps. */
function finishPromotion(folder: string): void {
  const [next, present] = [pairIn(folder, NEXT), pairIn(folder, PRESENT)]
  if (existsSync(next.key) || !existsSync(next.certificate) || !existsSync(present.key)) return
  const key = createPrivateKey(readFileSync(present.key, 'utf8'))
  if (!new X509Certificate(readFileSync(next.certificate, 'utf8')).checkPrivateKey(key)) return
  renameSync(next.certificate, present.certificate)
  syncFolder(folder)
}

async function makeTransport(pair: Pair): Promise<void> {
  // Certificates are made once in the life of a key: the library is loaded only then.
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
  rmSync(pair.certificate, { force: true }) // one without its key belongs to nothing
  writeSecret(pair.key, `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`)
  writeSecret(pair.certificate, certificate.toString('pem'))
}

/** Durable and whole, or not there: written beside, synced, then renamed. */
function writeSecret(path: string, text: string): void {
  const folder = dirname(path)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const file = openSync(`${path}.new`, 'w', 0o600)
  writeSync(file, text)
  fsyncSync(file)
  closeSync(file)
  renameSync(`${path}.new`, path)
  syncFolder(folder)
}

/** A rename outlives a loss of power only once its folder is synced. */
function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r')
  fsyncSync(handle)
  closeSync(handle)
}
