/** The executor process: one engine, no keys, no files, no children. It runs what it is given and says how it ended. */
import { readFileSync } from 'node:fs'
import { prepareEngine } from '../sandbox/engine.ts'
import { type ExecutorReply, type ExecutorRequest, toWire } from './messages.ts'
import { ScriptCache } from './script-cache.ts'

// First of all: a parent that ends while the engine is prepared must not leave this process behind.
process.on('disconnect', () => process.exit(0))
if (!process.connected) process.exit(0)

const wasm = new Uint8Array(readFileSync(process.argv[2] ?? ''))
const scripts = new ScriptCache(await prepareEngine(wasm))

process.on('message', (batch: readonly ExecutorRequest[]) => {
  process.send?.(batch.map(answer))
})
process.send?.([])

function answer(request: ExecutorRequest): ExecutorReply {
  const { id, scriptHash } = request
  try {
    if (request.kind === 'load') return { id, result: toWire(scripts.load(scriptHash, request.code)) }
    const result = scripts.call(scriptHash, request.method, request.input, BigInt(request.gas))
    return result ? { id, result: toWire(result) } : { id, missing: true }
  } catch (error) {
    return { id, fault: error instanceof Error ? error.message : String(error) } // of this machine, so no verdict
  }
}
