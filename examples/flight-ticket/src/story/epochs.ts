/** Scenes about who takes part: a fifth anchor joins, an epoch ends and homes are drawn anew, and an executor is drained meanwhile. */
import { epochOfTerm, formatTerm } from '@smartlayer/protocol'
import { DATE } from '../demo.ts'
import { type Evidence, eventually, expect, type Stage } from './stage.ts'

const EPOCHS_WAITED_MS = 200_000
const FLIGHT = 'LH900'
const DRAIN_MS = 30_000

type NetworkSaid = {
  readonly epoch: string
  readonly members: readonly { readonly node: string; readonly role: string }[]
}

/**
 * A ticket lives on while the anchors that keep it change: facts that come before, during and after are all applied, its journal goes on
 * in a term of the new home, and a drained executor hands over.
 */
export async function membersChange(stage: Stage): Promise<Evidence> {
  const { demo } = stage
  const token = await stage.ticket(FLIGHT)
  await stage.until(token, (status) => status.flight === FLIGHT)
  const before = await termOf(stage, token)
  const joined = await demo.network.join('anchor')
  const address = (await stage.nodeStatus(joined)).node
  let minutes = 10
  const delay = () => {
    minutes += 10
    return demo.airline.delay(FLIGHT, DATE, minutes)
  }
  await delay()
  const anchor = demo.network.layout.nodes[0]!.api
  const member = async () => {
    const said = (await (await fetch(`${anchor}/v1/network`)).json()) as NetworkSaid
    return said.members.some(({ node }) => node === address) ? said.epoch : undefined
  }
  const facts = setInterval(() => void delay().catch(() => undefined), 4_000)
  let epoch: string
  let drained: string
  try {
    epoch = await eventually('an epoch with the fifth anchor', member, EPOCHS_WAITED_MS)
    drained = await drain(stage, token)
    await eventually('a term of a new home', async () => isLater(await termOf(stage, token), before), EPOCHS_WAITED_MS)
  } finally {
    clearInterval(facts)
  }
  await new Promise((done) => setTimeout(done, 1_000))
  await demo.airline.delay(FLIGHT, DATE, 555)
  const status = await stage.until(token, ({ delayMinutes }) => delayMinutes === 555)
  const after = await termOf(stage, token)
  expect(status.hotel === 'rebooked', `the hotel is ${status.hotel}`)
  const rows = demo.hotel.rebookings().filter((row) => row.flight === FLIGHT)
  expect(rows.length === 1, `${rows.length} rebookings`)
  return { joined, epoch, drained, from: formatTerm(before), to: formatTerm(after), facts: minutes / 10 }
}

function isLater(term: bigint, before: bigint): true | undefined {
  return epochOfTerm(term) > epochOfTerm(before) || undefined
}

async function termOf(stage: Stage, token: string): Promise<bigint> {
  const terms = (await stage.hosts(token)).map(({ status }) => status.term)
  return terms.reduce((highest, term) => (term > highest ? term : highest), 0n)
}

/** Sends the executor into maintenance, waits until another node executes, and takes it back. */
async function drain(stage: Stage, token: string): Promise<string> {
  const { network } = stage.demo
  const executor = await eventually('an executor', async () => {
    const hosts = await stage.hosts(token)
    const newest = hosts.reduce((best, host) => (host.status.term > best.status.term ? host : best))
    return newest.status.executor && (await stage.nameOf(newest.status.executor))
  })
  const { api } = network.layout.nodes.find(({ name }) => name === executor)!
  const post = (body: object) =>
    fetch(`${api}/v1/development/drain`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const planned = await post({ forMs: DRAIN_MS })
  expect(planned.ok, `maintenance refused with ${planned.status}`)
  await eventually('another executor', async () => {
    const hosts = await stage.hosts(token)
    const newest = hosts.reduce((best, host) => (host.status.term > best.status.term ? host : best))
    const now = newest.status.executor && (await stage.nameOf(newest.status.executor))
    return now !== undefined && now !== executor ? now : undefined
  })
  return executor
}
