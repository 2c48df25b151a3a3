/** The hotel: an HTTP API over its own database. It knows nodes by their keys, signs its answers, and can misbehave on demand. */
import { createHash, createPublicKey, verify } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import {
  type Address,
  type Bytes32,
  type Crypto,
  type Domain,
  isHex,
  outsideAnswerDigest,
  type Signer,
  textHash,
} from '@smartlayer/protocol'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { httpbis } from 'http-message-signatures'

const BODY_LIMIT = 65_536
/** A request's signature may be this old, in seconds. */
const SIGNATURE_LIFE_S = 60

/** What the hotel does with requests: its faults are switches, and it is the only one that knows of them. */
export type HotelMode = 'ok' | 'error' | 'timeout' | 'drop-after-commit'

export type HotelOptions = {
  readonly databasePath: string
  readonly signer: Signer
  readonly crypto: Crypto
  readonly domain: Domain
  /** The API key that callers must have. */
  readonly apiKey: () => string
  /** SHA-256 of the TLS key that a node has in the registry; undefined for strangers. */
  readonly transportKeyOf: (node: Address) => Promise<Bytes32 | undefined>
}

export type RebookRequest = { readonly booking: string; readonly flight: string; readonly delayMinutes: number }

export class Hotel {
  readonly api: FastifyInstance
  mode: HotelMode = 'ok'
  /** Off: a repeated Idempotency-Key makes another rebooking, as simple systems do. */
  deduplicates = true
  /** Holds the next answers back after their rebooking was written, for as many ms. */
  delayMs = 0
  readonly #options: HotelOptions
  readonly #database: DatabaseSync

  constructor(options: HotelOptions) {
    this.#options = options
    this.#database = new DatabaseSync(options.databasePath)
    this.#database.exec(`
      PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
      CREATE TABLE IF NOT EXISTS rebookings (id INTEGER PRIMARY KEY, booking TEXT, flight TEXT, delay INTEGER, effect TEXT, at INTEGER);
      CREATE TABLE IF NOT EXISTS requests (id INTEGER PRIMARY KEY, effect TEXT, node TEXT, term TEXT, placement TEXT, at INTEGER, status INTEGER);
    `)
    this.api = Fastify({ bodyLimit: BODY_LIMIT, logger: false, forceCloseConnections: true })
    // The signature covers the very bytes, so they are kept as they came.
    this.api.addContentTypeParser('application/json', { parseAs: 'string' }, (_, body, done) => done(null, body))
    this.api.get('/health', async () => ({ ok: true }))
    this.api.get('/.well-known/smartlayer.json', async () => ({ tokenTypes: ['flight-ticket'], requestsPerSecond: 50 }))
    this.api.get('/rebookings', async () => this.rebookings())
    this.api.get('/requests', async () => this.requests())
    this.api.get('/', async (_, reply) => reply.type('text/html').send(this.#page()))
    this.api.post('/switches', async (request) => this.#switch(JSON.parse(request.body as string)))
    this.api.post('/rebook', async (request, reply) => {
      const { status, body } = await this.#rebook(request)
      const effect = headerOf(request, 'idempotency-key') as Bytes32
      const text = JSON.stringify(body)
      const signed = { effect, request: textHash(request.body as string, options.crypto), status, body: text }
      if (isHex(effect, 32)) {
        reply.header('sl-signature', options.signer.sign(outsideAnswerDigest(signed, options)))
      }
      if (this.mode === 'drop-after-commit') return reply.raw.destroy()
      return reply.code(status).type('application/json').send(text)
    })
  }

  rebookings(): readonly Record<string, unknown>[] {
    return this.#database.prepare('SELECT * FROM rebookings ORDER BY id').all()
  }

  /** Every call that reached the hotel: signing node, term, time in ms, and the status it was given. */
  requests(): readonly Record<string, unknown>[] {
    return this.#database.prepare('SELECT * FROM requests ORDER BY id').all()
  }

  async close(): Promise<void> {
    await this.api.close()
    this.#database.close()
  }

  async #rebook(request: FastifyRequest): Promise<{ status: number; body: object }> {
    const refusal = await this.#refuse(request)
    const effect = headerOf(request, 'idempotency-key')
    const log = this.#database.prepare(
      'INSERT INTO requests (effect, node, term, placement, at, status) VALUES (?, ?, ?, ?, ?, ?)',
    )
    const row = [
      effect,
      headerOf(request, 'sl-node'),
      headerOf(request, 'sl-term'),
      headerOf(request, 'sl-placement'),
      Date.now(),
    ] as const
    if (refusal) {
      log.run(...row, 401)
      return { status: 401, body: { error: refusal } }
    }
    if (this.mode === 'error') {
      log.run(...row, 503)
      return { status: 503, body: { error: 'the booking system is down' } }
    }
    log.run(...row, 200)
    if (this.mode === 'timeout') await new Promise((resolve) => setTimeout(resolve, 5_000))
    const { booking, flight, delayMinutes } = JSON.parse(request.body as string) as RebookRequest
    const known = this.#database.prepare('SELECT id FROM rebookings WHERE effect = ?').get(effect)
    if (!known || !this.deduplicates) {
      const insert = this.#database.prepare(
        'INSERT INTO rebookings (booking, flight, delay, effect, at) VALUES (?, ?, ?, ?, ?)',
      )
      insert.run(booking, flight, delayMinutes, effect, Date.now())
    }
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs))
    return { status: 200, body: { booking, moved: true, nights: 1 } }
  }

  /** Why a caller is refused: no API key, or no node of the registry behind the signature. */
  async #refuse(request: FastifyRequest): Promise<string | undefined> {
    if (headerOf(request, 'authorization') !== `Bearer ${this.#options.apiKey()}`) return 'wrong API key'
    const node = headerOf(request, 'sl-node')
    const spki = Buffer.from(headerOf(request, 'sl-node-key'), 'base64')
    const transportKey = `0x${createHash('sha256').update(spki).digest('hex')}`
    if (!isHex(node, 20) || (await this.#options.transportKeyOf(node)) !== transportKey) return 'not a registered node'
    const digest = `sha-256=:${createHash('sha256')
      .update(request.body as string)
      .digest('base64')}:`
    if (headerOf(request, 'content-digest') !== digest) return 'the body is not the one that was signed'
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' })
    const verified = await httpbis
      .verifyMessage(
        {
          keyLookup: async () => ({
            id: node,
            algs: ['ecdsa-p256-sha256'],
            verify: async (data, signature) => verify('sha256', data, { key, dsaEncoding: 'ieee-p1363' }, signature),
          }),
          requiredFields: [
            '@method',
            '@target-uri',
            'content-digest',
            'idempotency-key',
            'sl-node',
            'sl-term',
            'sl-placement',
          ],
          maxAge: SIGNATURE_LIFE_S,
        },
        {
          method: request.method,
          url: `http://${headerOf(request, 'host')}${request.url}`,
          headers: request.headers as Record<string, string>,
        },
      )
      .catch(() => false)
    return verified ? undefined : 'the message signature does not hold'
  }

  #switch({ mode, deduplicates, delayMs }: { mode?: HotelMode; deduplicates?: boolean; delayMs?: number }): object {
    this.mode = mode ?? this.mode
    this.deduplicates = deduplicates ?? this.deduplicates
    this.delayMs = delayMs ?? this.delayMs
    return { mode: this.mode, deduplicates: this.deduplicates, delayMs: this.delayMs }
  }

  #page(): string {
    const rows = this.rebookings().map(
      (row) => `<tr><td>${escapeHtml(row.booking)}<td>${escapeHtml(row.flight)}<td>${escapeHtml(row.delay)} min</tr>`,
    )
    const calls = this.requests().map(
      (row) => `<tr><td>${escapeHtml(row.node)}<td>term ${escapeHtml(row.term)}<td>${escapeHtml(row.status)}</tr>`,
    )
    return (
      `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Hotel</title><link rel="icon" href="data:,">` +
      `<style>:root{color-scheme:light dark;font:16px/1.5 system-ui}body{max-width:60rem;margin:2rem auto;padding:0 1rem}` +
      `table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .5rem;border-bottom:1px solid #8884;overflow-wrap:anywhere}</style>` +
      `<main><h1>Hotel back office</h1><h2>Rebookings: ${rows.length}</h2><table><tr><th>Booking<th>Flight<th>Delay</tr>${rows.join('')}</table>` +
      `<h2>Requests: ${calls.length}</h2><table><tr><th>Signing node<th>Term<th>Status</tr>${calls.join('')}</table></main></html>`
    )
  }
}

function headerOf(request: FastifyRequest, name: string): string {
  const value = request.headers[name]
  return typeof value === 'string' ? value : ''
}

function escapeHtml(value: unknown): string {
  return String(value).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
