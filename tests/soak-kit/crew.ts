/** The client processes of a soak: started, killed at random and started again, and in the end asked to finish. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pause, type Span } from './chance.ts'
import type { Order } from './part.ts'

const FLAGS = ['--conditions=source', '--disable-warning=ExperimentalWarning']
const BACK_MS = 1_500

export type CrewOptions = {
  /** Where the programs are, and which one a process of this name runs. */
  readonly programs: URL
  readonly programOf: (name: string) => string
  readonly planFile: string
  readonly logs: string
  readonly draw: () => number
  readonly progress: (line: string) => void
  /** What processes tell the conductor while they run. */
  readonly onMessage?: (name: string, message: unknown) => void
}

type Member = { readonly name: string; life: number; child: ChildProcess | undefined; ended: Promise<number | null> }

export class Crew {
  readonly #options: CrewOptions
  readonly #members = new Map<string, Member>()
  #isEnding = false
  kills = 0

  constructor(options: CrewOptions) {
    this.#options = options
    process.on('exit', () => this.killAll())
  }

  start(name: string): void {
    const member = this.#members.get(name) ?? { name, life: 0, child: undefined, ended: Promise.resolve(0) }
    this.#members.set(name, member)
    member.life++
    const { programs, programOf, onMessage } = this.#options
    const child = startProgram(new URL(programOf(name), programs), { ...this.#options, name, life: member.life })
    if (onMessage) child.on('message', (message) => onMessage(name, message))
    member.child = child
    member.ended = new Promise((resolve) => child.once('exit', resolve))
    // One that ends by itself, which it must not, comes back: its history says what it was up to.
    child.once('exit', (code) => {
      if (this.#isEnding || code === null) return
      this.#options.progress(`✖ ${name} ended with ${code}; see ${this.#options.logs}`)
      setTimeout(() => this.#isEnding || this.start(name), BACK_MS)
    })
  }

  /** Kills some process every few seconds, most often a writer, and starts it again, until the signal. */
  async harass([least, most]: Span, signal: AbortSignal): Promise<void> {
    const { draw } = this.#options
    for (;;) {
      await pause(1_000 * (least + draw() * (most - least)), signal)
      if (signal.aborted) return
      const members = [...this.#members.values()]
      const writers = members.filter(({ name }) => name.startsWith('writer'))
      const among = draw() < 0.7 ? writers : members
      const victim = among[Math.floor(draw() * among.length)]!
      await this.kill(victim.name)
      await pause(BACK_MS * draw(), signal)
      if (!this.#isEnding) this.start(victim.name)
    }
  }

  send(name: string, message: object): void {
    const child = this.#members.get(name)?.child
    if (child?.connected) child.send(message)
  }

  /** Kills a process, which `start` may start again. */
  async kill(name: string): Promise<void> {
    const member = this.#members.get(name)!
    member.child?.kill('SIGKILL')
    await member.ended
    this.kills++
  }

  /** Asks those whose name begins so to finish, and waits until they have. Returns the names of those that could not. */
  async finish(prefix: string, order: Order, limitMs: number): Promise<readonly string[]> {
    this.#isEnding = true
    const asked = [...this.#members.values()].filter(({ name }) => name.startsWith(prefix))
    for (const { child } of asked) if (child?.connected) child.send(order)
    const finished = asked.map(async ({ name, child, ended }) => {
      const code = await Promise.race([ended, pause(limitMs).then(() => 'late' as const)])
      child?.kill('SIGKILL')
      return code === 0 ? [] : [`${name}: ${code}`]
    })
    return (await Promise.all(finished)).flat()
  }

  killAll(): void {
    this.#isEnding = true
    for (const { child } of this.#members.values()) child?.kill('SIGKILL')
  }
}

/** A program as a process of its own; what it prints goes to a log. */
export function startProgram(
  program: URL,
  { planFile, logs, name, life }: { planFile: string; logs: string; name: string; life: number },
): ChildProcess {
  const log = openSync(join(logs, `${name}.log`), 'a')
  const args = ['--plan', planFile, '--name', name, '--life', String(life)]
  const child = fork(fileURLToPath(program), args, {
    execArgv: FLAGS,
    stdio: ['ignore', log, log, 'ipc'],
    detached: true,
  })
  closeSync(log)
  return child
}

/** What the examiner says of the histories: a process of its own, which sees nothing but them and the network's own answers. */
export async function examined<Answer>(program: URL, at: { planFile: string; logs: string }): Promise<Answer> {
  const child = startProgram(program, { ...at, name: 'examiner', life: 1 })
  const end = () => child.kill('SIGKILL')
  process.on('exit', end)
  try {
    const [answer] = await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(() => Promise.reject(new Error(`the examiner ended without a word; see ${at.logs}`))),
    ])
    return answer as Answer
  } finally {
    process.off('exit', end)
  }
}
