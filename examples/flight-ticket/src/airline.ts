/** The airline: issues tickets on chain, and says in its own stream what happens to its flights. */
import type { Address } from '@smartlayer/protocol'
import { formatTokenRef } from '@smartlayer/protocol'
import type { Issuer, Published } from '@smartlayer/sdk/server'
import Fastify, { type FastifyInstance } from 'fastify'

export type Booking = { readonly id: string; readonly nights: number }
export type TicketOrder = {
  readonly holder: Address
  readonly tokenId: bigint
  readonly flight: string
  readonly date: string
  readonly booking?: Booking | undefined
}

export type AirlineOptions = {
  readonly chainId: bigint
  readonly contract: Address
  readonly issuer: Issuer
  readonly mint: (to: Address, tokenId: bigint) => Promise<void>
}

export class Airline {
  readonly api: FastifyInstance
  readonly #options: AirlineOptions

  constructor(options: AirlineOptions) {
    this.#options = options
    this.api = Fastify({ bodyLimit: 65_536, logger: false, forceCloseConnections: true })
    this.api.get('/health', async () => ({ ok: true }))
    this.api.get('/', async (_, reply) => reply.type('text/html').send(PAGE))
    // Only JSON is taken: a form of another site cannot send it without being asked.
    this.api.removeContentTypeParser('text/plain')
    this.api.post('/delays', async (request, reply) => {
      const { flight, date, delayMinutes } = (request.body ?? {}) as Delay
      if (!isDelay({ flight, date, delayMinutes })) return reply.code(400).send({ message: DELAY_FORM })
      const { receipt } = await this.delay(flight, date, delayMinutes)
      return {
        uid: receipt.receipt.uid,
        sequence: String(receipt.receipt.sequence),
        receipts: receipt.signatures.length,
      }
    })
  }

  async close(): Promise<void> {
    await this.api.close()
    await this.#options.issuer.close()
  }

  /** Mints the ticket and attests what it is for; returns its CAIP-19 id. */
  async issue(order: TicketOrder): Promise<{ token: string; published: Published }> {
    const { chainId, contract, issuer, mint } = this.#options
    await mint(order.holder, order.tokenId)
    const { flight, date, booking } = order
    const body = booking ? { flight, date, booking } : { flight, date }
    const published = await issuer.attest({ subset: `ticket/${order.tokenId}`, body })
    return { token: formatTokenRef({ chainId, contract, tokenId: order.tokenId }), published }
  }

  /** Attests the delay of a flight: every ticket of that flight and day follows. */
  delay(flight: string, date: string, delayMinutes: number): Promise<Published> {
    return this.#options.issuer.attest({ subset: `flight-status/${flight}/${date}`, body: { delayMinutes } })
  }
}

type Delay = { readonly flight: string; readonly date: string; readonly delayMinutes: number }
const DELAY_FORM =
  'Send flight (1 to 16 characters), date (YYYY-MM-DD) and delayMinutes (a whole number from 0 to 10000).'

function isDelay({ flight, date, delayMinutes }: Readonly<Record<keyof Delay, unknown>>): boolean {
  return (
    /^.{1,16}$/.test(String(flight)) &&
    /^\d{4}-\d{2}-\d{2}$/.test(String(date)) &&
    Number.isInteger(delayMinutes) &&
    Number(delayMinutes) >= 0 &&
    Number(delayMinutes) <= 10_000
  )
}

const PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Airline operations</title><link rel="icon" href="data:,">
<style>:root{color-scheme:light dark;font:16px/1.5 system-ui}body{max-width:32rem;margin:2rem auto;padding:0 1rem}label{display:block;margin:.75rem 0}
input,button{font:inherit;padding:.4rem .6rem}output{display:block;margin-top:1rem;overflow-wrap:anywhere}</style>
<main><h1>Airline operations</h1><p>What is attested here reaches every ticket of the flight.</p>
<form><label>Flight <input name="flight" value="LH454" required></label><label>Date <input name="date" value="2026-11-12" required></label>
<label>Delay in minutes <input name="delayMinutes" type="number" value="180" min="0" max="10000" required></label>
<button>Attest the delay</button></form><output aria-live="polite"></output></main>
<script>
const form = document.querySelector('form'), output = document.querySelector('output')
form.addEventListener('submit', async (event) => {
  event.preventDefault()
  output.textContent = 'Waiting for the receipt …'
  const { flight, date, delayMinutes } = Object.fromEntries(new FormData(form))
  const response = await fetch('/delays', { method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ flight, date, delayMinutes: Number(delayMinutes) }) })
  const answer = await response.json()
  output.textContent = response.ok ? 'Entry ' + answer.sequence + ' has ' + answer.receipts + ' receipts: ' + answer.uid : answer.message
})
</script></html>`
