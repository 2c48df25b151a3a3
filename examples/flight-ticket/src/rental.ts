/** The car rental: a website that asks a visitor's ticket whether the flight is late, and believes only a verified answer. */
import { type AttestedGrant, attestedGrantShape, isSmartLayerError } from '@smartlayer/protocol'
import type { SmartLayer } from '@smartlayer/sdk/server'
import Fastify, { type FastifyInstance } from 'fastify'

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

export class Rental {
  readonly api: FastifyInstance
  readonly #options: RentalOptions
  /** The grant of each visitor; a real site keeps it with the session. */
  #grant: { token: string; grant: AttestedGrant } | undefined

  constructor(options: RentalOptions) {
    this.#options = options
    this.api = Fastify({ bodyLimit: 65_536, logger: false, forceCloseConnections: true })
    this.api.get('/health', async () => ({ ok: true }))
    this.api.get('/', async (_, reply) => reply.type('text/html').send(this.#page()))
    this.api.post('/grant', async (request, reply) => {
      const { token, grant } = request.body as { token: string; grant: unknown }
      this.#grant = { token, grant: attestedGrantShape.parse(grant, 'grant') }
      return reply.code(204).send()
    })
    this.api.get('/status', async (_, reply) => {
      if (!this.#grant) return reply.code(404).send({ code: 'grant.missing' })
      try {
        const { value, proof, node } = await this.status(this.#grant.token, this.#grant.grant)
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

  #page(): string {
    const { smartLayer, origin, consentUrl } = this.#options
    const ask = new URL(consentUrl)
    ask.search = new URLSearchParams({
      audience: smartLayer.site.signer.address,
      origin,
      scopes: SCOPES.join(' '),
    }).toString()
    return PAGE.replace('CONSENT_URL', ask.href.replaceAll('&', '&amp;'))
  }
}

const PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Car rental</title><link rel="icon" href="data:,">
<style>:root{color-scheme:light dark;font:16px/1.5 system-ui}body{max-width:40rem;margin:2rem auto;padding:0 1rem}
.banner{padding:.75rem 1rem;border-radius:.5rem;background:light-dark(#e6f4ea,#143d24);border:1px solid light-dark(#34a853,#34a85399)}
.banner.failed{background:light-dark(#fce8e6,#4a1a17);border-color:#ea4335}.cars{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:1rem}
.cars li{list-style:none;border:1px solid #8884;border-radius:.5rem;padding:.75rem}ul{padding:0}a.button{display:inline-block;padding:.5rem 1rem;border-radius:.5rem;background:#1a56db;color:#fff;text-decoration:none}
small{overflow-wrap:anywhere}</style>
<h1>Car rental</h1><p>Flying in? Show us your ticket and we hold your car when the flight is late.</p>
<p><a class="button" href="CONSENT_URL">Use my flight ticket</a></p><div role="status" aria-live="polite" id="banner" hidden></div>
<h2>Cars today</h2><ul class="cars"><li><b>Compact</b><br>from 39 a day<li><b>Estate</b><br>from 58 a day<li><b>Van</b><br>from 74 a day</ul>
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
const granted = new URLSearchParams(location.hash.slice(1))
if (granted.has('grant')) {
  const body = JSON.stringify({ token: granted.get('token'), grant: JSON.parse(granted.get('grant')) })
  history.replaceState(null, '', '/')
  fetch('/grant', { method: 'POST', headers: { 'content-type': 'application/json' }, body }).then(() => {
    refresh()
    setInterval(refresh, 2000)
  })
}
</script></html>`
