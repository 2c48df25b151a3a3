/** The local chain: anvil under a supervisor that keeps its state in atomic snapshots and starts it again when it dies. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { connect } from 'node:net'
import { SmartLayerError } from '@smartlayer/protocol'

const ANVIL = createRequire(import.meta.url).resolve('@foundry-rs/anvil-linux-amd64/bin/anvil')
const START_TIMEOUT_MS = 15_000
const RESTART_DELAY_MS = 200

export type AnvilOptions = {
  readonly port: number
  /** Where snapshots are kept; loaded at start when it exists. */
  readonly stateFile: string
  readonly chainId: number
  readonly snapshotEveryMs: number
}

/** A running chain on loopback, with funded accounts of anvil's well-known test mnemonic. */
export class Anvil {
  readonly url: string
  readonly #options: AnvilOptions
  #child: ChildProcess | undefined
  #timer: NodeJS.Timeout | undefined
  #savedBlock = ''
  #stopping = false

  private constructor(options: AnvilOptions) {
    this.#options = options
    this.url = `http://127.0.0.1:${options.port}`
  }

  /** Starts anvil and loads the last snapshot. Throws `port.busy` and `process.failed`. */
  static async start(options: AnvilOptions): Promise<Anvil> {
    if (await isListening(options.port)) throw SmartLayerError.of('port.busy', { port: options.port, what: 'chain' })
    const anvil = new Anvil(options)
    await anvil.#launch()
    anvil.#timer = setInterval(() => void anvil.snapshot().catch(() => undefined), options.snapshotEveryMs)
    return anvil
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Saves the state when a block was added since: written beside, synced, then renamed, so that no file is ever torn. */
  async snapshot(): Promise<void> {
    const block = await this.rpc<string>('eth_blockNumber', [])
    if (block === this.#savedBlock) return
    const state = await this.rpc<string>('anvil_dumpState', [])
    const { stateFile } = this.#options
    const file = openSync(`${stateFile}.new`, 'w')
    writeSync(file, state)
    fsyncSync(file)
    closeSync(file)
    renameSync(`${stateFile}.new`, stateFile)
    this.#savedBlock = block
  }

  async stop(): Promise<void> {
    this.#stopping = true
    clearInterval(this.#timer)
    const child = this.#child
    if (!child || child.exitCode !== null) return
    await this.snapshot().catch(() => undefined)
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    await ended
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

  async #launch(): Promise<void> {
    const { port, chainId, stateFile } = this.#options
    const args = ['--host', '127.0.0.1', '--port', String(port), '--chain-id', String(chainId), '--silent']
    const child = spawn(ANVIL, args, { stdio: 'ignore' })
    this.#child = child
    child.on('exit', () => {
      if (!this.#stopping) setTimeout(() => void this.#launch().catch(() => undefined), RESTART_DELAY_MS)
    })
    await this.#untilReady(child)
    if (existsSync(stateFile)) await this.rpc('anvil_loadState', [readFileSync(stateFile, 'utf8')])
  }

  async #untilReady(child: ChildProcess): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS
    while (Date.now() < deadline && child.exitCode === null) {
      try {
        await this.rpc('eth_chainId', [])
        return
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
    throw SmartLayerError.of('process.failed', { what: 'anvil', detail: `no answer at ${this.url}` })
  }
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
