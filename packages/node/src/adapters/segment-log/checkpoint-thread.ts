/** The thread of `Checkpointer`: moves the write-ahead log of a SQLite file into it whenever it is asked to. */
import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'

const database = new DatabaseSync(workerData as string)
database.exec('PRAGMA synchronous=NORMAL')
const checkpoint = database.prepare('PRAGMA wal_checkpoint(PASSIVE)')

parentPort!.on('message', () => {
  checkpoint.get()
  parentPort!.postMessage('done')
})
