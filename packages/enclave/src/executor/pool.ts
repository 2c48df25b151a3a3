/** An executor process with its queue: fair between scripts, bounded, batched, and replaced when it hangs or dies. */
import { type ChildProcess, fork } from 'node:child_process'
import { dirname } from 'node:path'
import { SmartLayerError } from '@smartlayer/protocol'
import type { CallResult } from '../sandbox/call-result.ts'
import { EXECUTOR_LIMITS, GAS } from '../sandbox/limits.ts'
import { type ExecutorRequest, fromWire, parseReplies } from './messages.ts'
import { expectLoaded, expectSmall, expectSmallScript, type Sandbox } from './sandbox.ts'

export type ExecutorOptions = {
  /** The executor's program: a bundle, or `child.ts` itself. */
  readonly childEntry: string
  readonly wasmPath: string
  /** Folders that the program may read; its own by default. */
  readonly readable?: readonly string[]
  /** How long one batch may take before the process is replaced. */
  readonly watchdogMs?: number
}

type Job = {
  readonly scriptHash: string
  readonly gas: bigint
  /** What waiting costs: the text that is sent. */
  readonly length: number
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
  #queuedLength = 0
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
    try {
      await pool.#launch()
      return pool
    } catch (error) {
      await pool[Symbol.asyncDispose]()
      throw error
    }
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  async load(scriptHash: string, code: string): Promise<void> {
    if (this.#codes.get(scriptHash) === code) return
    expectSmallScript(code)
    const bytes = [...this.#codes.values()].reduce((sum, known) => sum + known.length, code.length)
    if (!this.#codes.has(scriptHash) && bytes > EXECUTOR_LIMITS.codeBytes) {
      throw SmartLayerError.of('queue.full', { queue: 'scripts', limit: EXECUTOR_LIMITS.codeBytes })
    }
    expectLoaded(await this.#enqueue(loadOf(scriptHash, code)))
    this.#codes.set(scriptHash, code)
  }

  async call(scriptHash: string, method: string, input: string, gas: bigint): Promise<CallResult> {
    expectSmall(method, input)
    const request = (id: number) => ({ id, kind: 'call', scriptHash, method, input, gas: String(gas) }) as const
    return this.#enqueue({ scriptHash, gas, length: input.length, request })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true
    clearTimeout(this.#restart)
    clearTimeout(this.#watchdog)
    this.#rejectWaiting('it is being stopped')
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }

  #enqueue(order: Omit<Job, 'resolve' | 'reject'>): Promise<CallResult> {
    if (this.#disposed) return Promise.reject(unavailable('it is stopped'))
    const queue = this.#queues.get(order.scriptHash) ?? []
    const full = this.#limitReached(queue, order.length)
    if (full) return Promise.reject(SmartLayerError.of('queue.full', full))
    return new Promise((resolve, reject) => {
      queue.push({ ...order, resolve, reject })
      this.#queues.set(order.scriptHash, queue)
      this.#queued++
      this.#queuedLength += order.length
      this.#dispatch()
    })
  }

  #limitReached(queue: readonly Job[], length: number): { queue: string; limit: number } | undefined {
    const { queuedCalls, queuedCallsPerScript, queuedBytes } = EXECUTOR_LIMITS
    if (queue.length >= queuedCallsPerScript) return { queue: 'calls of one script', limit: queuedCallsPerScript }
    if (this.#queued >= queuedCalls) return { queue: 'calls', limit: queuedCalls }
    return this.#queuedLength + length > queuedBytes ? { queue: 'bytes of calls', limit: queuedBytes } : undefined
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
      this.#queuedLength -= job.length
      gas += job.gas
      const id = this.#nextId++
      this.#running.set(id, job)
      batch.push(job.request(id))
    }
    this.#watchdog = setTimeout(
      () => this.#child?.kill('SIGKILL'),
      this.#options.watchdogMs ?? EXECUTOR_LIMITS.watchdogMs,
    )
    this.#child?.send(batch)
  }

  /** Takes the replies to the whole batch. A process that says anything else may be in foreign hands: it is replaced. */
  #answered(message: unknown): void {
    const replies = parseReplies(message)
    const answered = new Set(replies?.map((reply) => reply.id))
    if (!replies || ![...this.#running.keys()].every((id) => answered.has(id))) {
      this.#child?.kill('SIGKILL')
      return
    }
    clearTimeout(this.#watchdog)
    this.#failures = 0
    for (const reply of replies) {
      const job = this.#running.get(reply.id)
      if (!job) continue
      this.#running.delete(reply.id)
      if ('missing' in reply) this.#loadAgain(job)
      else if ('fault' in reply) job.reject(unavailable(reply.fault))
      else job.resolve(fromWire(reply.result))
    }
    this.#dispatch()
  }

  /** The process was restarted or dropped the image: load the script and call again. */
  #loadAgain(job: Job): void {
    const { scriptHash } = job
    const code = this.#codes.get(scriptHash)
    if (code === undefined) return job.reject(SmartLayerError.of('script.not_found', { what: scriptHash }))
    this.#enqueue(loadOf(scriptHash, code))
      .then((loaded) => expectLoaded(loaded))
      .then(() => this.#enqueue(job))
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
        '--optimize-for-size',
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
        child.on('message', (message) => this.#answered(message))
        this.#ready = true
        resolve()
        this.#dispatch()
      })
      child.on('error', (error) => {
        if (child.pid !== undefined) return // a message that could not be sent: its exit follows
        this.#died(error.message)
        reject(unavailable(error.message))
      })
      child.once('exit', (code, signal) => {
        clearTimeout(timer)
        this.#died(`it ended (${signal ?? code})`)
        reject(unavailable(`it ended at start (${signal ?? code})`))
      })
    })
  }

  /** Calls that were running fail as faults, never as verdicts; those that wait go to the next process, if one can start. */
  #died(detail: string): void {
    if (!this.#ready) this.#rejectWaiting(detail)
    this.#ready = false
    clearTimeout(this.#watchdog)
    for (const job of this.#running.values()) job.reject(unavailable(detail))
    this.#running.clear()
    if (this.#disposed) return
    const delayMs = Math.min(EXECUTOR_LIMITS.restartMs * 2 ** this.#failures++, EXECUTOR_LIMITS.restartLimitMs)
    this.#restart = setTimeout(() => void this.#launch().catch(() => undefined), delayMs)
  }

  #rejectWaiting(detail: string): void {
    for (const job of [...this.#queues.values()].flat()) job.reject(unavailable(detail))
    this.#queues.clear()
    this.#queued = 0
    this.#queuedLength = 0
  }
}

function loadOf(scriptHash: string, code: string): Omit<Job, 'resolve' | 'reject'> {
  const request = (id: number) => ({ id, kind: 'load', scriptHash, code }) as const
  return { scriptHash, gas: GAS.load, length: code.length, request }
}

function unavailable(detail: string): SmartLayerError {
  return SmartLayerError.of('sandbox.unavailable', { detail })
}
