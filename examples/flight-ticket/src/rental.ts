/** The car rental: a website that asks a visitor's ticket whether the flight is late, and believes only a verified answer. */
import { randomUUID } from 'node:crypto'
import { type AttestedGrant, attestedGrantShape, isSmartLayerError } from '@smartlayer/protocol'
import type { SmartLayer } from '@smartlayer/sdk/server'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'

const SCOPES = ['flight.status:read']

export type FlightStatus = {
  readonly flight: string
  readonly date: string
  readonly delayMinutes: number
  readonly late: boolean
  readonly lounge: boolean
  readonly hotel: string
}
export type RentalOptions = { readonly smartLayer: SmartLayer; readonly origin: string; readonly consentUrl: string }

type Visitor = { readonly token: string; readonly grant: AttestedGrant }
const SESSION_LIMIT = 1_000

/** The visitor's session, made when there is none yet. */
function sessionOf(request: FastifyRequest, reply: FastifyReply): string {
  const known = /(?:^|; )session=([0-9a-f-]{36})/.exec(request.headers.cookie ?? '')?.[1]
  const session = known ?? randomUUID()
  if (!known) reply.header('set-cookie', `session=${session}; HttpOnly; SameSite=Lax; Path=/`)
  return session
}

export class Rental {
  readonly api: FastifyInstance
  readonly #options: RentalOptions
  /** Grants by session; the oldest is forgotten first. */
  readonly #grants = new Map<string, Visitor>()

  constructor(options: RentalOptions) {
    this.#options = options
    this.api = Fastify({ bodyLimit: 65_536, logger: false, forceCloseConnections: true })
    this.api.get('/health', async () => ({ ok: true }))
    this.api.get('/', async (request, reply) => {
      const known = this.#grants.has(sessionOf(request, reply))
      return reply.type('text/html').send(this.#page(known))
    })
    this.api.post('/grant', async (request, reply) => {
      const { token, grant } = (request.body ?? {}) as { token?: unknown; grant?: unknown }
      try {
        this.#remember(sessionOf(request, reply), {
          token: String(token),
          grant: attestedGrantShape.parse(grant, 'grant'),
        })
        return reply.code(204).send()
      } catch (error) {
        if (!isSmartLayerError(error)) throw error
        return reply.code(400).send({ code: error.code, message: error.message })
      }
    })
    this.api.get('/status', async (request, reply) => {
      const visitor = this.#grants.get(sessionOf(request, reply))
      if (!visitor) return reply.code(404).send({ code: 'grant.missing' })
      try {
        const { value, proof, node } = await this.status(visitor.token, visitor.grant)
        return { value, summary: proof.summary, checks: proof.checks, node }
      } catch (error) {
        if (!isSmartLayerError(error)) throw error
        return reply.code(502).send({ code: error.code, message: error.message })
      }
    })
  }

  // #region the integration
  /** Asks the ticket; throws unless the answer is verified. */
  status(token: string, grant: AttestedGrant) {
    return this.#options.smartLayer.token(token, grant).call<FlightStatus>('status')
  }
  // #endregion

  #remember(session: string, visitor: Visitor): void {
    this.#grants.set(session, visitor)
    const [oldest] = this.#grants.keys()
    if (this.#grants.size > SESSION_LIMIT && oldest !== undefined) this.#grants.delete(oldest)
  }

  #page(known: boolean): string {
    const { smartLayer, origin, consentUrl } = this.#options
    const ask = new URL(consentUrl)
    ask.search = new URLSearchParams({
      audience: smartLayer.site.signer.address,
      origin,
      scopes: SCOPES.join(' '),
    }).toString()
    return PAGE.replace('KNOWN', String(known)).replace('CONSENT_URL', ask.href.replaceAll('&', '&amp;'))
  }
}

const PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Car rental</title><link rel="icon" href="data:,">
<style>:root{color-scheme:light dark;font:16px/1.5 system-ui}body{max-width:40rem;margin:2rem auto;padding:0 1rem}
.banner{padding:.75rem 1rem;border-radius:.5rem;background:light-dark(#e6f4ea,#143d24);border:1px solid light-dark(#34a853,#34a85399)}
.banner.failed{background:light-dark(#fce8e6,#4a1a17);border-color:#ea4335}.cars{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:1rem}
.cars li{list-style:none;border:1px solid #8884;border-radius:.5rem;padding:.75rem}ul{padding:0}a.button{display:inline-block;padding:.5rem 1rem;border-radius:.5rem;background:#1a56db;color:#fff;text-decoration:none}
small{overflow-wrap:anywhere}</style>
<main><h1>Car rental</h1><p>Flying in? Show us your ticket and we hold your car when the flight is late.</p>
<p><a class="button" href="CONSENT_URL">Use my flight ticket</a></p><div role="status" aria-live="polite" id="banner" hidden></div>
<h2>Cars today</h2><ul class="cars"><li><b>Compact</b><br>from 39 a day<li><b>Estate</b><br>from 58 a day<li><b>Van</b><br>from 74 a day</ul></main>
<script>
const banner = document.getElementById('banner')
function show(text, detail, failed) {
  banner.hidden = false
  banner.className = failed ? 'banner failed' : 'banner'
  banner.replaceChildren(Object.assign(document.createElement('b'), { textContent: text }), document.createElement('br'),
    Object.assign(document.createElement('small'), { textContent: detail }))
}
async function refresh() {
  const response = await fetch('/status')
  const answer = await response.json()
  if (!response.ok) return show('We could not verify the ticket', answer.message, true)
  const { flight, delayMinutes, late } = answer.value
  const text = late ? 'Flight ' + flight + ' is ' + delayMinutes + ' min late. We hold your car. · verified ✔'
    : 'Flight ' + flight + (delayMinutes ? ' is ' + delayMinutes + ' min late' : ' is on time') + ' · verified ✔'
  show(text, answer.summary + ' · answered by ' + answer.node, false)
}
async function begin() {
  const granted = new URLSearchParams(location.hash.slice(1))
  history.replaceState(null, '', '/')
  if (granted.has('denied')) return show('You did not allow it. Nothing was shared.', '', true)
  if (!granted.has('grant')) return KNOWN && watch()
  let grant
  try { grant = JSON.parse(granted.get('grant')) } catch { return show('The answer of the wallet could not be read', '', true) }
  const body = JSON.stringify({ token: granted.get('token'), grant })
  const response = await fetch('/grant', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  if (response.ok) watch()
  else show('The answer of the wallet was not accepted', (await response.json()).message, true)
}
function watch() {
  refresh()
  setInterval(refresh, 2000)
}
begin()
</script></html>`
