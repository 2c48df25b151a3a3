/** A simple consent page with a demo wallet: the holder sees who asks for what, and signs a grant or does not. */
import { type AttestedGrant, attestedGrantShape, type Hex, isHex, type Signer } from '@smartlayer/protocol'
import { attestGrant, type Site, signGrant } from '@smartlayer/sdk'
import Fastify, { type FastifyInstance } from 'fastify'

const GRANT_LIFE_S = 86_400n
const SCOPE_TEXTS: Readonly<Record<string, string>> = {
  'flight.status:read': 'See the status and delay of the flight',
  'hotel.link:write': 'Link a hotel booking to the ticket',
}

export type ConsentOptions = { readonly site: Site; readonly holder: Signer; readonly token: () => string }
type Asked = { readonly audience: Hex; readonly origin: string; readonly scopes: readonly string[] }

export class Consent {
  readonly api: FastifyInstance
  readonly #options: ConsentOptions

  constructor(options: ConsentOptions) {
    this.#options = options
    this.api = Fastify({ bodyLimit: 65_536, logger: false, forceCloseConnections: true })
    this.api.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_, body, done) =>
      done(null, body),
    )
    this.api.addHook('onRequest', async (_, reply) => {
      reply.header(
        'content-security-policy',
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'",
      )
    })
    this.api.get('/health', async () => ({ ok: true }))
    this.api.get('/', async (request, reply) => {
      const asked = askedOf(request.query as Record<string, string>)
      return asked
        ? reply.type('text/html').send(this.#page(asked))
        : reply.code(400).type('text/html').send('What is asked for is incomplete.')
    })
    this.api.post('/allow', async (request, reply) => {
      const asked = askedOf(Object.fromEntries(new URLSearchParams(request.body as string)))
      if (!asked) return reply.code(400).send('What is asked for is incomplete.')
      const token = this.#options.token()
      const grant = await this.grant(token, asked)
      const answer = new URLSearchParams({ token, grant: JSON.stringify(attestedGrantShape.toJson(grant)) })
      return reply.redirect(`${asked.origin}/#${answer}`, 303)
    })
  }

  /** Signs as the holder and has anchors check it. */
  async grant(token: string, { audience, origin, scopes }: Asked): Promise<AttestedGrant> {
    const { site, holder } = this.#options
    const signed = signGrant(site, holder, { token, audience, origin, scopes, lifeS: GRANT_LIFE_S })
    return attestGrant(site, token, signed)
  }

  #page({ audience, origin, scopes }: Asked): string {
    const lines = scopes.map((scope) => `<li>${escapeHtml(SCOPE_TEXTS[scope] ?? scope)}</li>`).join('')
    const hidden = Object.entries({ audience, origin, scopes: scopes.join(' ') })
      .map(([name, value]) => `<input type="hidden" name="${name}" value="${escapeHtml(value)}">`)
      .join('')
    return (
      `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Consent</title><link rel="icon" href="data:,">` +
      `<style>:root{color-scheme:light dark;font:16px/1.5 system-ui}main{max-width:26rem;margin:2rem auto;padding:0 1rem}` +
      `.buttons{display:grid;grid-template-columns:1fr 1fr;gap:1rem}button,a{font:inherit;padding:.6rem;border-radius:.5rem;border:1px solid #8888;` +
      `text-align:center;text-decoration:none;color:inherit;background:transparent}h1{font-size:1.25rem}h1,small{overflow-wrap:anywhere}</style>` +
      `<main><h1>${escapeHtml(new URL(origin).host)}</h1><p>wants to use your flight ticket <small>${escapeHtml(this.#options.token())}</small></p>` +
      `<p>It will be able to</p><ul>${lines}</ul><p>It will not see your name, price or seat. The grant ends after one day.</p>` +
      `<form method="post" action="/allow">${hidden}<div class="buttons"><a href="${escapeHtml(origin)}/#denied=1">Deny</a><button>Allow</button></div></form>` +
      `<p><small>Demo wallet: its key is kept by this local page.</small></p></main></html>`
    )
  }
}

function askedOf({ audience = '', origin = '', scopes = '' }: Record<string, string>): Asked | undefined {
  const list = scopes.split(' ').filter((scope) => scope in SCOPE_TEXTS)
  if (!isHex(audience, 20) || list.length === 0 || !/^http:\/\/[a-z0-9.-]+:\d+$/.test(origin)) return undefined
  return { audience, origin, scopes: list }
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
