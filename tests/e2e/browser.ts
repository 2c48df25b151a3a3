/** The story in headless Chromium: consent, the verified banner, the delay, and replicas that change in the Control Room. */
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Gateway, resetNetwork } from '@smartlayer/cli'
import { type Browser, chromium, type Page } from 'playwright-core'
import { FlightDemo } from '../../examples/flight-ticket/src/demo.ts'
import { CHROMIUM } from '../../scripts/chromium.ts'

const PORT_BASE = 19_700
const folder = join(tmpdir(), 'smart-layer-browser')
const pictures = join(tmpdir(), 'smart-layer-pictures')
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

type Axe = {
  run(): Promise<{ violations: readonly { id: string; nodes: readonly { target: readonly string[] }[] }[] }>
}
type Step = { readonly name: string; readonly run: () => Promise<void> }

async function open(browser: Browser, url: string, errors: string[]): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
  page.on('console', (message) => message.type() === 'error' && errors.push(`${url}: ${message.text()}`))
  page.on('pageerror', (error) => errors.push(`${url}: ${error.message}`))
  await page.goto(url)
  return page
}

/** Contrast, names, roles, order: what a machine can tell of WCAG 2.2 A and AA. */
async function expectAccessible(page: Page): Promise<void> {
  await page.evaluate(AXE) // not as a script of the page: its policy allows none
  const found = await page.evaluate(async () => {
    const { violations } = await (globalThis as unknown as { axe: Axe }).axe.run()
    return violations.map(({ id, nodes }) => `${id} at ${nodes.map(({ target }) => target.join(' ')).join(', ')}`)
  })
  if (found.length > 0) throw new Error(`${page.url()}: ${found.join('; ')}`)
}

function stepsOf(browser: Browser, demo: FlightDemo, errors: string[]): readonly Step[] {
  let rental: Page
  let room: Page
  let airline: Page
  let hotel: Page
  const position = async () => Number(await room.locator('td[data-position]').first().getAttribute('data-position'))
  return [
    {
      name: 'the rental page gets a verified answer after consent',
      async run() {
        rental = await open(browser, demo.urls.rental, errors)
        await rental.getByRole('link', { name: 'Use my flight ticket' }).click()
        await rental.getByText('See the status and delay of the flight').waitFor()
        await rental.getByRole('button', { name: 'Allow' }).click()
        const banner = rental.getByRole('status')
        await banner.getByText('is on time · verified ✔').waitFor({ timeout: 20_000 })
        await banner.getByText('no enclave evidence').waitFor()
        await rental.screenshot({ path: join(pictures, 'rental.png') })
      },
    },
    {
      name: 'a delay attested on the airline page changes the banner and every replica',
      async run() {
        room = await open(browser, `http://control.localhost:${demo.network.layout.controlPort}`, errors)
        await room.locator('td[data-position]').nth(2).waitFor({ timeout: 20_000 })
        const before = await position()
        airline = await open(browser, demo.urls.airline, errors)
        await airline.getByRole('button', { name: 'Attest the delay' }).click()
        await airline.getByText(/has \d receipts/).waitFor({ timeout: 20_000 })
        await rental
          .getByRole('status')
          .getByText('is 180 min late. We hold your car. · verified ✔')
          .waitFor({ timeout: 20_000 })
        await room.getByText('rebookHotel: succeeded').nth(2).waitFor({ timeout: 20_000 })
        if ((await position()) <= before) throw new Error('the Control Room did not show a new position')
        await room.screenshot({ path: join(pictures, 'control-room.png') })
      },
    },
    {
      name: 'the hotel page shows one rebooking',
      async run() {
        hotel = await open(browser, demo.urls.hotel, errors)
        await hotel.getByRole('heading', { name: 'Rebookings: 1' }).waitFor()
      },
    },
    {
      name: 'the Control Room shows the stream of the airline: who holds it, who follows it, and why it is in its state',
      async run() {
        const stream = room.locator('article.stream.live').first()
        await stream.waitFor({ timeout: 20_000 })
        await stream.getByText('everything here has its receipt').first().waitFor()
        await stream.getByText('4 of 4 anchors at').click()
        const anchors = stream.locator('details').first().locator('li')
        if ((await anchors.count()) !== 4) throw new Error('not all anchors are named')
        await stream.getByText(/Subsets that service nodes follow: \d/).click()
        await stream.getByText('everything that is known was applied').first().waitFor()
        await stream.scrollIntoViewIfNeeded()
        await room.screenshot({ path: join(pictures, 'streams.png'), fullPage: true })
      },
    },
    {
      name: 'the Control Room shows service levels, and a node that hands over before its maintenance',
      async run() {
        const level = room.locator('.levels li').filter({ hasText: 'service-' })
        await level.nth(5).waitFor({ timeout: 20_000 })
        const host = (await room.locator('td').filter({ hasText: '♛' }).first().textContent()) ?? ''
        const name = host.replace('♛', '').trim()
        const place = demo.network.layout.nodes.find((each) => each.name === name)!
        const response = await fetch(`${place.api}/v1/development/drain`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ forMs: 60_000 }),
        })
        if (!response.ok) throw new Error(`${name} answered ${response.status}`)
        const drained = room.locator(`.levels li[data-node="${name}"][data-state^="maintenance"]`)
        await drained.getByText('0 of 10000').waitFor({ timeout: 30_000 })
        await room.screenshot({ path: join(pictures, 'service-levels.png'), fullPage: true })
      },
    },
    {
      name: 'axe finds nothing on any page',
      async run() {
        for (const page of [rental, airline, hotel, room]) await expectAccessible(page)
      },
    },
    {
      name: 'no page logged an error, and the Control Room fits a phone',
      async run() {
        await room.setViewportSize({ width: 320, height: 640 })
        const width = await room.evaluate(() => document.documentElement.scrollWidth)
        if (width > 320) throw new Error(`the page is ${width} px wide on a 320 px screen`)
        if (errors.length > 0) throw new Error(errors.join('; '))
      },
    },
  ]
}

mkdirSync(pictures, { recursive: true })
resetNetwork(folder)
const demo = await FlightDemo.start({ folder, portBase: PORT_BASE, progress: () => {} })
const gateway = await Gateway.start(demo.network)
const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS })
let passed = 0
let failed = 0
try {
  for (const { name, run } of stepsOf(browser, demo, [])) {
    try {
      await run()
      passed++
      console.error(`✔ ${name}`)
    } catch (error) {
      failed++
      console.error(`✖ ${name}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
} finally {
  await browser.close()
  await gateway.close()
  await demo.stop()
}
console.log(JSON.stringify({ passed, failed, pictures }))
process.exit(failed === 0 ? 0 : 1)
