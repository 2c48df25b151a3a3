/** An executor process with its queue: fair between scripts, bounded, batched, and replaced when it hangs or dies. */
import { type ChildProcess, fork } from 'node:child_process'
import { dirname } from 'node:path'
import { SmartLayerError } from '@smartlayer/protocol'
import type { CallResult } from '../sandbox/call-result.ts'
import { EXECUTOR_LIMITS, GAS } from '../sandbox/limits.ts'
import { type ExecutorReply, type ExecutorRequest, fromWire } from './messages.ts'
import { expectLoaded, type Sandbox } from './sandbox.ts'

export type ExecutorOptions = {
  /** The executor's program: a bundle, or `child.ts` itself. */
  readonly childEntry: string
  readonly wasmPath: string
  /** Folders that the program may read; its own by default. */
  readonly readable?: readonly string[]
}

type Job = {
  readonly scriptHash: string
  readonly gas: bigint
  readonly request: (id: number) => ExecutorRequest
  readonly resolve: (result: CallResult) => void
  readonly reject: (error: unknown) => void
}

export class ExecutorPool implements Sandbox {
  readonly #options: ExecutorOptions
  readonly #codes = new Map<string, string>()
  readonly #queues = new Map<string, Job[]>()
  readonly #running = new Map<number, Job>()
  #child: ChildProcess | undefined
  #ready = false
  #nextId = 1
  #queued = 0
  #failures = 0
  #watchdog: NodeJS.Timeout | undefined
  #restart: NodeJS.Timeout | undefined
  #disposed = false

  private constructor(options: ExecutorOptions) {
    this.#options = options
  }

  /** Starts the process and waits until it is ready. Throws `sandbox.unavailable`. */
  static async start(options: ExecutorOptions): Promise<ExecutorPool> {
    const pool = new ExecutorPool(options)
    await pool.#launch()
    return pool
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  async load(scriptHash: string, code: string): Promise<void> {
    const bytes = [...this.#codes.values()].reduce((sum, known) => sum + known.length, code.length)
    if (!this.#codes.has(scriptHash) && bytes > EXECUTOR_LIMITS.codeBytes) {
      throw SmartLayerError.of('queue.full', { queue: 'scripts', limit: EXECUTOR_LIMITS.codeBytes })
    }
    expectLoaded(await this.#enqueue(scriptHash, GAS.load, (id) => ({ id, kind: 'load', scriptHash, code })))
    this.#codes.set(scriptHash, code)
  }

  call(scriptHash: string, method: string, input: string, gas: bigint): Promise<CallResult> {
    return this.#enqueue(scriptHash, gas, (id) => ({ id, kind: 'call', scriptHash, method, input, gas: String(gas) }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true
    clearTimeout(this.#restart)
    clearTimeout(this.#watchdog)
    const child = this.#child
    if (!child || child.exitCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }

  #enqueue(scriptHash: string, gas: bigint, request: Job['request']): Promise<CallResult> {
    const queue = this.#queues.get(scriptHash) ?? []
    if (this.#queued >= EXECUTOR_LIMITS.queuedCalls || queue.length >= EXECUTOR_LIMITS.queuedCallsPerScript) {
      return Promise.reject(SmartLayerError.of('queue.full', { queue: 'sandbox', limit: EXECUTOR_LIMITS.queuedCalls }))
    }
    return new Promise((resolve, reject) => {
      queue.push({ scriptHash, gas, request, resolve, reject })
      this.#queues.set(scriptHash, queue)
      this.#queued++
      this.#dispatch()
    })
  }

  /** Sends the next batch: one call of each waiting script in turn, until count or gas is enough. */
  #dispatch(): void {
    if (!this.#ready || this.#running.size > 0 || this.#queued === 0) return
    const batch: ExecutorRequest[] = []
    let gas = 0n
    while (this.#queued > 0 && batch.length < EXECUTOR_LIMITS.batchCalls && gas < EXECUTOR_LIMITS.batchGas) {
      const [scriptHash, queue] = this.#queues.entries().next().value!
      const job = queue.shift()!
      this.#queues.delete(scriptHash)
      if (queue.length > 0) this.#queues.set(scriptHash, queue)
      this.#queued--
      gas += job.gas
      const id = this.#nextId++
      this.#running.set(id, job)
      batch.push(job.request(id))
    }
    this.#watchdog = setTimeout(() => this.#child?.kill('SIGKILL'), EXECUTOR_LIMITS.watchdogMs)
    this.#child?.send(batch)
  }

  #answered(replies: readonly ExecutorReply[]): void {
    clearTimeout(this.#watchdog)
    this.#failures = 0
    for (const reply of replies) {
      const job = this.#running.get(reply.id)
      if (!job) continue
      this.#running.delete(reply.id)
      if ('missing' in reply) this.#loadAgain(job)
      else if ('fault' in reply) job.reject(SmartLayerError.of('sandbox.unavailable', { detail: reply.fault }))
      else job.resolve(fromWire(reply.result))
    }
    this.#dispatch()
  }

  /** The process was restarted or dropped the image: load the script and call again. */
  #loadAgain(job: Job): void {
    const { scriptHash } = job
    const code = this.#codes.get(scriptHash)
    if (code === undefined) return job.reject(SmartLayerError.of('script.not_found', { what: scriptHash }))
    this.#enqueue(scriptHash, GAS.load, (id) => ({ id, kind: 'load', scriptHash, code }))
      .then(() => this.#enqueue(scriptHash, job.gas, job.request))
      .then(job.resolve, job.reject)
  }

  async #launch(): Promise<void> {
    const { childEntry, wasmPath, readable = [dirname(childEntry)] } = this.#options
    const child = fork(childEntry, [wasmPath], {
      execArgv: [
        '--permission',
        ...[wasmPath, ...readable].map((path) => `--allow-fs-read=${path}`),
        '--disallow-code-generation-from-strings',
        `--max-old-space-size=${EXECUTOR_LIMITS.heapMegabytes}`,
        '--max-semi-space-size=1',
        '--conditions=source',
        '--disable-warning=ExperimentalWarning',
      ],
      env: {},
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    this.#child = child
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), EXECUTOR_LIMITS.startMs)
      child.once('message', () => {
        clearTimeout(timer)
        child.on('message', (replies: readonly ExecutorReply[]) => this.#answered(replies))
        this.#ready = true
        resolve()
        this.#dispatch()
      })
      child.once('exit', (code, signal) => {
        clearTimeout(timer)
        this.#died(`it ended (${signal ?? code})`)
        reject(SmartLayerError.of('sandbox.unavailable', { detail: `it ended at start (${signal ?? code})` }))
      })
    })
  }

  /** Calls that were running fail as faults, never as verdicts; those that wait go to the next process. */
  #died(detail: string): void {
    this.#ready = false
    clearTimeout(this.#watchdog)
    for (const job of this.#running.values()) job.reject(SmartLayerError.of('sandbox.unavailable', { detail }))
    this.#running.clear()
    if (this.#disposed) return
    const delayMs = Math.min(EXECUTOR_LIMITS.restartMs * 2 ** this.#failures++, EXECUTOR_LIMITS.restartLimitMs)
    this.#restart = setTimeout(() => void this.#launch().catch(() => undefined), delayMs)
  }
}
