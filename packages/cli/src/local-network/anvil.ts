/** The local chain: anvil under a supervisor that keeps its state in atomic snapshots and starts it again when it dies. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, fsyncSync, openSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { SmartLayerError } from '@smartlayer/protocol'
import { endWithUs } from './processes.ts'

const ANVIL = createRequire(import.meta.url).resolve('@foundry-rs/anvil-linux-amd64/bin/anvil')
/** A block is final when two have followed it. */
const FINALITY = ['--slots-in-an-epoch', '1']
const START_TIMEOUT_MS = 15_000
const STOP_TIMEOUT_MS = 3_000
const RESTART_DELAY_MS = 200
const POLLING_MS = 20

export type AnvilOptions = {
  readonly port: number
  /** Where snapshots are kept (anvil's JSON state); loaded at start when it exists. */
  readonly stateFile: string
  readonly chainId: number
  readonly snapshotEveryMs: number
  /** A block comes at least this often; without it only with transactions, and nothing is ever final. */
  readonly blockEveryS?: number | undefined
}

/** A running chain on loopback, with funded accounts of anvil's well-known test mnemonic. */
export class Anvil {
  readonly url: string
  readonly #options: AnvilOptions
  #child: ChildProcess | undefined
  #timer: NodeJS.Timeout | undefined
  #savedBlock = ''
  #saving: Promise<void> | undefined
  #ready = false
  #stopping = false

  private constructor(options: AnvilOptions) {
    this.#options = options
    this.url = `http://127.0.0.1:${options.port}`
  }

  /** Starts anvil and loads the last snapshot. Throws `port.busy` and `process.failed`. */
  static async start(options: AnvilOptions): Promise<Anvil> {
    if (await isListening(options.port)) throw SmartLayerError.of('port.busy', { port: options.port, what: 'chain' })
    const anvil = new Anvil(options)
    try {
      await anvil.#launch()
    } catch (error) {
      await anvil.stop()
      throw error
    }
    anvil.#timer = setInterval(() => anvil.#tick(), options.snapshotEveryMs)
    return anvil
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Sends a signal to the process: one that ends it has it started again. */
  signal(name: NodeJS.Signals): void {
    if (this.#child && !hasEnded(this.#child)) this.#child.kill(name)
  }

  get chainId(): number {
    return this.#options.chainId
  }

  /**
   * Saves the state when a block was added since: written beside, synced, then renamed, so that no file is ever torn.
   * A change without a block (a balance set by hand) is saved with the next one.
   */
  async snapshot(): Promise<void> {
    while (this.#saving) await this.#saving.catch(() => undefined)
    this.#saving = this.#save().finally(() => {
      this.#saving = undefined
    })
    await this.#saving
  }

  /** Saves once more and ends anvil. */
  async stop(): Promise<void> {
    this.#stopping = true
    clearInterval(this.#timer)
    const child = this.#child
    if (!child || hasEnded(child)) return
    if (this.#ready) await this.snapshot().catch(() => undefined)
    await end(child)
  }

  async rpc<T>(method: string, params: readonly unknown[]): Promise<T> {
    const response = await fetch(this.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
      signal: AbortSignal.timeout(START_TIMEOUT_MS),
    })
    const { result, error } = (await response.json()) as { result: T; error?: { message: string } }
    if (error) throw SmartLayerError.of('chain.reverted', { call: method, reason: error.message })
    return result
  }

  /** A tick that finds a snapshot under way or the chain away is left out: ticks must not queue up behind a slow disk. */
  #tick(): void {
    if (this.#ready && !this.#saving) void this.snapshot().catch(() => undefined) // the next tick tries again
  }

  async #save(): Promise<void> {
    const block = await this.rpc<string>('eth_blockNumber', [])
    if (block === this.#savedBlock) return
    const packed = await this.rpc<string>('anvil_dumpState', [])
    replaceDurably(this.#options.stateFile, gunzipSync(Buffer.from(packed.slice(2), 'hex')))
    this.#savedBlock = block
  }

  /** The state is given at start, not loaded afterwards: nobody ever sees the chain empty. */
  async #launch(): Promise<void> {
    const { port, chainId, stateFile, blockEveryS } = this.#options
    const state = existsSync(stateFile) ? ['--load-state', stateFile] : []
    const pace = blockEveryS === undefined ? [] : ['--block-time', String(blockEveryS), '--mixed-mining', ...FINALITY]
    const args = [
      '--host',
      '127.0.0.1',
      '--port',
      String(port),
      '--chain-id',
      String(chainId),
      '--silent',
      ...pace,
      ...state,
    ]
    const child = spawn(ANVIL, args, { stdio: 'ignore' })
    endWithUs(child)
    this.#child = child
    this.#savedBlock = ''
    this.#ready = false
    child.once('exit', () => this.#startAgain())
    await this.#untilReady(child)
    this.#ready = true
  }

  #startAgain(): void {
    this.#ready = false
    if (this.#stopping) return
    setTimeout(() => {
      if (!this.#stopping) void this.#launch().catch(() => undefined) // its exit starts it again
    }, RESTART_DELAY_MS)
  }

  async #untilReady(child: ChildProcess): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS
    while (Date.now() < deadline && !hasEnded(child)) {
      try {
        await this.rpc('eth_chainId', [])
        return
      } catch {
        await new Promise((resolve) => setTimeout(resolve, POLLING_MS))
      }
    }
    child.kill('SIGKILL')
    throw SmartLayerError.of('process.failed', { what: 'anvil', detail: `no answer at ${this.url}` })
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

async function end(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const impatient = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
  await ended
  clearTimeout(impatient)
}

function replaceDurably(path: string, content: Buffer): void {
  const file = openSync(`${path}.new`, 'w', 0o600)
  writeFileSync(file, content)
  fsyncSync(file)
  closeSync(file)
  renameSync(`${path}.new`, path)
  const folder = openSync(dirname(path), 'r')
  fsyncSync(folder)
  closeSync(folder)
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
