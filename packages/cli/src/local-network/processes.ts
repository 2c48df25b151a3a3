/** Child processes of a local network: started, watched until they are ready, and ended by their own id only. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { SmartLayerError } from '@smartlayer/protocol'

const READY_TIMEOUT_MS = 30_000
const POLL_MS = 50
/** After this long, a process that was asked to end is killed. */
const END_TIMEOUT_MS = 5_000

export type ManagedProcessOptions = {
  readonly name: string
  readonly args: readonly string[]
  /** Answers 200 once the process may be relied on. */
  readonly readyUrl: string
  readonly logFile: string
  readonly env?: Readonly<Record<string, string>>
}

export class ManagedProcess {
  readonly name: string
  readonly #options: ManagedProcessOptions
  #child: ChildProcess | undefined

  constructor(options: ManagedProcessOptions) {
    this.name = options.name
    this.#options = options
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  start(): void {
    const { args, logFile, env } = this.#options
    mkdirSync(dirname(logFile), { recursive: true })
    const log = openSync(logFile, 'a')
    // Processes of their own group: a Ctrl-C in the terminal reaches only us, and we end them in order.
    this.#child = spawn(process.execPath, args, {
      stdio: ['ignore', log, log],
      detached: true,
      // One malloc arena: several threads share it, and a network of ten nodes needs 100 MB less.
      env: { ...process.env, MALLOC_ARENA_MAX: '1', ...env },
    })
    closeSync(log)
    endWithUs(this.#child)
  }

  /** Resolves once the readiness URL answers 200. Throws `process.failed` with the log's path. */
  async ready(): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS
    let detail = 'not ready in time'
    while (Date.now() < deadline) {
      if (!this.running) {
        detail = 'it ended'
        break
      }
      if (await answers(this.#options.readyUrl)) return
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
    throw SmartLayerError.of('process.failed', { what: this.name, detail: `${detail}; see ${this.#options.logFile}` })
  }

  signal(name: NodeJS.Signals): void {
    if (this.running) this.#child?.kill(name)
  }

  /** Asks the process to end, and waits until it has. */
  async stop(): Promise<void> {
    const child = this.#child
    if (!child || !this.running) return
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), END_TIMEOUT_MS)
    await ended
    clearTimeout(timer)
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok
  } catch {
    return false // not listening yet
  }
}

const children = new Set<ChildProcess>()
process.on('exit', endAll)

/** However this program ends, what it started is asked to end as well. */
export function endWithUs(child: ChildProcess): void {
  children.add(child)
  child.once('exit', () => children.delete(child))
}

function endAll(): void {
  for (const child of children) child.kill('SIGTERM')
}
