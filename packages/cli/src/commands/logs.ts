/** `sl logs`: what happens at all nodes, as one stream in the order of their clocks. */
import { integer, type Shape, SmartLayerError, text } from '@smartlayer/protocol'
import type { Command } from 'commander'
import { WebSocket } from 'ws'
import { type NodePlace, nodesOf } from '../command-line/connection.ts'
import { define } from '../command-line/options.ts'
import { type Output, printable, toJson } from '../command-line/output.ts'

/** Events are held back for this long, so that those of slower nodes still come in order. */
const HOLD_MS = 300
const RECONNECT_MS = 1_000
const CONNECT_MS = 3_000
const MESSAGE_LIMIT = 1_048_576
const HELD_LIMIT = 20_000

type LoggedEvent = {
  readonly node: string
  readonly sequence: number
  readonly time: number
  readonly level: string
  readonly event: string
  readonly facts: unknown
}

export function addLogs(program: Command): void {
  const command = program
    .command('logs')
    .description('show the events of all nodes as one ordered stream')
    .option('-f, --follow', 'go on until Ctrl-C', false)
  define<{ follow: boolean }>(command, ['logs', 'logs -f --json'], async ({ options, output }) => {
    const nodes = await nodesOf(options)
    const stream = new EventStream(nodes, (event) => print(event, output))
    try {
      await stream.open()
      if (options.follow) await stream.follow()
      else await new Promise((resolve) => setTimeout(resolve, HOLD_MS))
    } finally {
      stream.close()
    }
  })
}

/** The live sockets of all nodes, merged by time. */
class EventStream {
  readonly #nodes: readonly NodePlace[]
  readonly #print: (event: LoggedEvent) => void
  readonly #sockets = new Map<string, WebSocket>()
  readonly #seen = new Map<string, number>()
  #held: LoggedEvent[] = []

  constructor(nodes: readonly NodePlace[], print: (event: LoggedEvent) => void) {
    this.#nodes = nodes
    this.#print = print
  }

  /** Connects to every node that runs. Throws `network.unreachable` when none does. */
  async open(): Promise<void> {
    const opened = await Promise.all(this.#nodes.map((node) => this.#connect(node)))
    if (opened.some((open) => open)) return
    throw SmartLayerError.of('network.unreachable', { peer: `any of the ${this.#nodes.length} nodes` })
  }

  /** Prints events as they come until Ctrl-C; a node that was gone is taken up again where it stood. */
  async follow(): Promise<void> {
    const flushing = setInterval(() => this.#flush(Date.now() - HOLD_MS), HOLD_MS / 3)
    const reconnecting = setInterval(() => {
      for (const node of this.#nodes) if (!this.#sockets.has(node.name)) void this.#connect(node)
    }, RECONNECT_MS)
    await new Promise<void>((resolve) => {
      process.once('SIGINT', resolve)
      process.once('SIGTERM', resolve)
    })
    clearInterval(flushing)
    clearInterval(reconnecting)
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket.terminate()
    this.#flush(Number.POSITIVE_INFINITY)
  }

  #connect({ name, api }: NodePlace): Promise<boolean> {
    const url = new URL('/v1/events', api)
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
    url.searchParams.set('after', String(this.#seen.get(name) ?? 0))
    const socket = new WebSocket(url, { maxPayload: MESSAGE_LIMIT, handshakeTimeout: CONNECT_MS })
    this.#sockets.set(name, socket)
    socket.on('message', (data) => this.#note(name, String(data)))
    return new Promise((resolve) => {
      socket.on('open', () => resolve(true))
      socket.on('error', () => socket.terminate())
      socket.on('close', () => {
        this.#sockets.delete(name)
        resolve(false)
      })
    })
  }

  #note(node: string, message: string): void {
    const event = eventOf(node, message)
    if (!event) return void this.#sockets.get(node)?.terminate()
    this.#seen.set(node, event.sequence)
    this.#held.push(event)
    if (this.#held.length > HELD_LIMIT) this.#flush(event.time)
  }

  #flush(until: number): void {
    this.#held.sort((a, b) => a.time - b.time || (a.node < b.node ? -1 : a.node > b.node ? 1 : a.sequence - b.sequence))
    const due = this.#held.filter(({ time }) => time <= until)
    this.#held = this.#held.filter(({ time }) => time > until)
    for (const event of due) this.#print(event)
  }
}

function eventOf(node: string, message: string): LoggedEvent | undefined {
  try {
    const { sequence, time, level, event, facts } = JSON.parse(message)
    return {
      node,
      sequence: whole.parse(sequence, 'sequence'),
      time: whole.parse(time, 'time'),
      level: text(16).parse(level, 'level'),
      event: text(64).parse(event, 'event'),
      facts,
    }
  } catch {
    return undefined // no event: the node speaks another language and is cut off
  }
}

const whole: Shape<number> = integer(0, Number.MAX_SAFE_INTEGER)

function print(event: LoggedEvent, output: Output): void {
  const time = new Date(Math.min(event.time, 8.64e15)).toISOString().slice(11, 23)
  const facts = typeof event.facts === 'object' && event.facts !== null ? Object.entries(event.facts) : []
  const detail = facts.map(([key, value]) => `${key}=${typeof value === 'string' ? value : toJson(value)}`).join(' ')
  const loud = event.level === 'warn' || event.level === 'error'
  const name = printable(event.event).padEnd(22)
  output.data(event, [
    `${output.style('dim', time)} ${event.node.padEnd(10)} ${loud ? output.style('red', name) : name} ${printable(detail)}`,
  ])
}
