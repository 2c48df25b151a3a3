/** Keeps the write-ahead log of a SQLite file short from another thread: the fsyncs of that must not hold up the node. */
import { Worker } from 'node:worker_threads'

/** What is saved before it is worth a checkpoint. */
const RECORDS = 4_096
const SAVES = 200
/** The thread ends when it had nothing to do for this long. */
const IDLE_MS = 10_000
/** What the thread runs, as text: in a bundle there is no file of its own that it could be loaded from. */
const PROGRAM = `
const { DatabaseSync } = require('node:sqlite')
const { parentPort, workerData } = require('node:worker_threads')
const database = new DatabaseSync(workerData)
database.exec('PRAGMA synchronous=NORMAL')
const checkpoint = database.prepare('PRAGMA wal_checkpoint(PASSIVE)')
parentPort.on('message', () => {
  checkpoint.get()
  parentPort.postMessage('done')
})`

export class Checkpointer {
  readonly #path: string
  #records = 0
  #saves = 0
  #isBusy = false
  #thread: Worker | undefined
  #idleTimer: NodeJS.Timeout | undefined

  constructor(path: string) {
    this.#path = path
  }

  /** Notes a transaction, and starts a checkpoint when it is time. If none succeeds, SQLite makes one in a later commit. */
  saved(records: number): void {
    this.#records += records
    this.#saves++
    if (this.#isBusy || (this.#records < RECORDS && this.#saves < SAVES)) return
    this.#records = 0
    this.#saves = 0
    this.#isBusy = true
    clearTimeout(this.#idleTimer)
    this.#thread ??= this.#start()
    this.#thread.postMessage('checkpoint')
  }

  async close(): Promise<void> {
    clearTimeout(this.#idleTimer)
    const thread = this.#thread
    this.#thread = undefined
    await thread?.terminate()
  }

  #start(): Worker {
    const thread = new Worker(PROGRAM, { eval: true, workerData: this.#path })
    thread.unref()
    thread.on('message', () => {
      this.#isBusy = false
      this.#idleTimer = setTimeout(() => void this.close(), IDLE_MS).unref()
    })
    thread.on('error', () => {
      this.#isBusy = false
      if (this.#thread === thread) this.#thread = undefined
    })
    return thread
  }
}
