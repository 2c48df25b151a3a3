/** The client processes of a soak: started, killed at random and started again, and in the end asked to finish. */
import { type ChildProcess, fork } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Order, pause } from './client.ts'

const FLAGS = ['--conditions=source', '--disable-warning=ExperimentalWarning']
const BACK_MS = 1_500

export type CrewOptions = {
  readonly planFile: string
  readonly logs: string
  readonly draw: () => number
  readonly progress: (line: string) => void
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
    const program = name.startsWith('writer') ? 'writer.ts' : 'reader.ts'
    const child = startProgram(program, { ...this.#options, name, life: member.life })
    member.child = child
    member.ended = new Promise((resolve) => child.once('exit', resolve))
    // One that ends by itself, which it must not, comes back: its history says what it was up to.
    child.once('exit', (code) => {
      if (this.#isEnding || code === null) return
      this.#options.progress(`✖ ${name} ended with ${code}; see ${this.#options.logs}`)
      setTimeout(() => this.#isEnding || this.start(name), BACK_MS)
    })
  }

  /** Kills some process every few seconds and starts it again, until the signal. */
  async harass([least, most]: readonly [number, number], signal: AbortSignal): Promise<void> {
    const { draw } = this.#options
    for (;;) {
      await pause(1_000 * (least + draw() * (most - least)), signal)
      if (signal.aborted) return
      const members = [...this.#members.values()]
      const writers = members.filter(({ name }) => name.startsWith('writer'))
      const among = draw() < 0.7 ? writers : members
      const victim = among[Math.floor(draw() * among.length)]!
      victim.child?.kill('SIGKILL')
      await victim.ended
      this.kills++
      await pause(BACK_MS * draw(), signal)
      if (!this.#isEnding) this.start(victim.name)
    }
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

/** A program of this folder as a process of its own; what it prints goes to a log. */
export function startProgram(
  program: string,
  { planFile, logs, name, life }: { planFile: string; logs: string; name: string; life: number },
): ChildProcess {
  const log = openSync(join(logs, `${name}.log`), 'a')
  const path = fileURLToPath(new URL(program, import.meta.url))
  const args = ['--plan', planFile, '--name', name, '--life', String(life)]
  const child = fork(path, args, { execArgv: FLAGS, stdio: ['ignore', log, log, 'ipc'], detached: true })
  closeSync(log)
  return child
}
