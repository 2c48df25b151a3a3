/** The Egress port over HTTP: pinned address, hard limits, no redirects, and a message signature that names the node. */
import { createHash, createPrivateKey, sign as signBytes } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { BlockList, isIP } from 'node:net'
import { httpbis } from 'http-message-signatures'
import type { Egress, OutboundRequest, OutboundResult } from '../ports/egress.ts'
import type { TransportIdentity } from './transport-identity.ts'

const BODY_LIMIT = 65_536
const COVERED = [
  '@method',
  '@target-uri',
  'content-digest',
  'idempotency-key',
  'sl-node',
  'sl-term',
  'sl-placement',
  'sl-node-key',
]

export type HttpEgressOptions = {
  readonly transport: TransportIdentity
  /** Development only: lets requests go to loopback and private addresses. */
  readonly allowPrivate: boolean
}

export function httpEgress({ transport, allowPrivate }: HttpEgressOptions): Egress {
  return {
    async request(outbound) {
      try {
        const url = new URL(outbound.url)
        const address = await pinnedAddress(url.hostname, allowPrivate)
        const headers = await signedHeaders(outbound, url, transport)
        return await send(outbound, { url, address, headers })
      } catch (error) {
        return { end: 'unsent', reason: error instanceof Error ? error.message : 'unknown' }
      }
    },
  }
}

/** The one address that this attempt talks to; what DNS says later does not count. */
async function pinnedAddress(hostname: string, allowPrivate: boolean): Promise<string> {
  const host = hostname.replace(/^\[|\]$/g, '')
  const { address } = isIP(host) ? { address: host } : await lookup(host)
  if (!allowPrivate && PRIVATE.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')) throw new Error('private address')
  return address
}

async function signedHeaders(
  outbound: OutboundRequest,
  url: URL,
  transport: TransportIdentity,
): Promise<Record<string, string>> {
  const digest = createHash('sha256').update(outbound.body).digest('base64')
  const message = {
    method: outbound.method,
    url: url.href,
    headers: {
      ...outbound.headers,
      'content-type': 'application/json',
      'content-digest': `sha-256=:${digest}:`,
      'idempotency-key': outbound.effect,
      'sl-node': outbound.executor,
      'sl-term': String(outbound.term),
      'sl-placement': outbound.placement,
      'sl-node-key': Buffer.from(transport.publicKey).toString('base64'),
    },
  }
  const key = createPrivateKey(transport.key)
  const signed = await httpbis.signMessage(
    {
      key: {
        id: outbound.executor,
        alg: 'ecdsa-p256-sha256',
        sign: async (data) => signBytes('sha256', data, { key, dsaEncoding: 'ieee-p1363' }),
      },
      name: 'sl',
      fields: COVERED,
      params: ['created', 'keyid', 'alg'],
    },
    message,
  )
  return signed.headers as Record<string, string>
}

function send(
  outbound: OutboundRequest,
  { url, address, headers }: { url: URL; address: string; headers: Record<string, string> },
): Promise<OutboundResult> {
  const start = url.protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((resolve) => {
    let sent = false
    const length = Buffer.byteLength(outbound.body)
    const request = start(url, {
      method: outbound.method,
      headers: { ...headers, 'content-length': length, connection: 'close' },
      agent: false,
      lookup: (_, options, done) => {
        const family = isIP(address)
        if (options.all) done(null, [{ address, family }])
        else done(null, address, family)
      },
    })
    const end = (result: OutboundResult) => {
      clearTimeout(timer)
      request.destroy()
      resolve(result)
    }
    const failed = (reason: string) => end(sent ? { end: 'lost', reason } : { end: 'unsent', reason })
    const timer = setTimeout(() => failed('timeout'), outbound.timeoutMs)
    request.on('socket', (socket) => {
      // Once the connection stands, bytes may leave at any moment: from here on a failure is not known to be harmless.
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        sent = true
      })
    })
    request.on('error', (error: NodeJS.ErrnoException) => failed(error.code ?? 'connection failed'))
    request.on('response', (response) => {
      readBody(response, (body) => {
        if (body === undefined) return failed('answer too large or cut off')
        end({ end: 'answer', status: response.statusCode ?? 0, body, signature: headerOf(response, 'sl-signature') })
      })
    })
    request.end(outbound.body)
  })
}

/** The whole body, or undefined when it is over the limit or ends early. */
function readBody(response: IncomingMessage, done: (body: string | undefined) => void): void {
  const chunks: Buffer[] = []
  let size = 0
  response.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size > BODY_LIMIT) done(undefined)
    else chunks.push(chunk)
  })
  response.on('end', () => done(response.complete ? Buffer.concat(chunks).toString('utf8') : undefined))
  response.on('aborted', () => done(undefined))
}

function headerOf(response: IncomingMessage, name: string): string | undefined {
  const value = response.headers[name]
  return typeof value === 'string' ? value : undefined
}

/** Loopback, link-local, private and other special ranges (RFC 6890). */
const PRIVATE = new BlockList()
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
] as const) {
  PRIVATE.addSubnet(net, bits, 'ipv4')
}
for (const [net, bits] of [
  ['::', 127],
  ['::ffff:0:0', 96],
  ['64:ff9b::', 96],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const) {
  PRIVATE.addSubnet(net, bits, 'ipv6')
}
