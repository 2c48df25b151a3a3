/** Reference reducers per CPU second: our metered engine beside isolated-vm and QuickJS, each with clean state per call. */
import { readFile } from 'node:fs/promises'
import { Engine, engineFile, GAS, prepareEngine } from '@smartlayer/enclave'
import ivm from 'isolated-vm'
import { getQuickJS } from 'quickjs-emscripten'
import { REDUCER, reducerInput } from './reducer.ts'
import { cpuNowS, median, type Row, row } from './row.ts'

const SAMPLES = 5
const CALLS_PER_ISOLATE = 500
const SAMPLE_CPU_S = 0.4
const TARGET_PER_S = 1_500
const TARGET_EMPTY_US = 25

/** Every engine must give the same result before any of them is timed. */
export async function benchSandbox(): Promise<readonly Row[]> {
  const { state, fact, context } = reducerInput()
  const input = [state, fact, context] as const
  const engine = await ourEngine()
  const isolate = isolatedVm(input)
  const quick = await quickJs(input)
  const reduce = () => engine.call('reduce', JSON.stringify(input))
  const results = [reduce(), isolate.call(), quick()]
  if (new Set(results).size !== 1) throw new Error(`engines differ: ${results.join(' | ')}`)
  const ours = perCpuSecond(reduce)
  const empty = perCpuSecond(() => engine.call('empty', ''))
  const isolated = perCpuSecond(isolate.call)
  const emscripten = perCpuSecond(quick)
  engine.dispose()
  isolate.dispose()
  return [
    row('sandbox', '/CPU s', { ours, target: { of: 'ours', at: 'least', value: TARGET_PER_S } }),
    row('sandbox beside isolated-vm, fresh context', '/CPU s', { ours, peer: isolated }),
    row('sandbox beside quickjs-emscripten, fresh runtime', '/CPU s', { ours, peer: emscripten }),
    row('sandbox, empty call', 'µs CPU', {
      ours: 1e6 / empty,
      target: { of: 'ours', at: 'most', value: TARGET_EMPTY_US },
    }),
  ]
}

async function ourEngine() {
  const engine = new Engine(await prepareEngine(new Uint8Array(await readFile(engineFile()))))
  const booted = engine.boot(`${REDUCER}
globalThis.smartToken = { call: (method, input) => method === 'empty' ? '' : reduce(...JSON.parse(input)) }`)
  if (booted.status !== 'ok') throw new Error(`the reducer did not load: ${booted.status}`)
  return {
    call(method: string, input: string): string {
      const result = engine.call(booted.image, method, input, GAS.update)
      if (result.status !== 'ok') throw new Error(`the reducer failed: ${JSON.stringify(result, (_, v) => String(v))}`)
      return result.output
    },
    dispose: () => engine.dispose(),
  }
}

/**
 * A compiled script, and a fresh context for every call. Dropped contexts are freed only with their isolate, so that one is
 * replaced now and then, as a service would have to.
 */
function isolatedVm(input: readonly string[]) {
  let calls = 0
  let { isolate, script } = freshIsolate()
  return {
    call(): string {
      if (++calls % CALLS_PER_ISOLATE === 0) {
        isolate.dispose()
        ;({ isolate, script } = freshIsolate())
      }
      const context = isolate.createContextSync()
      script.runSync(context)
      const reduce = context.global.getSync('reduce', { reference: true })
      const output = reduce.applySync(undefined, [...input], { timeout: 1_000 }) as string
      reduce.release()
      context.release()
      return output
    },
    dispose: () => isolate.dispose(),
  }
}

function freshIsolate() {
  const isolate = new ivm.Isolate({ memoryLimit: 512 })
  return { isolate, script: isolate.compileScriptSync(REDUCER) }
}

/** A fresh runtime and context for every call, the script evaluated in it. */
async function quickJs(input: readonly string[]): Promise<() => string> {
  const quick = await getQuickJS()
  return () => {
    const runtime = quick.newRuntime()
    const context = runtime.newContext()
    context.unwrapResult(context.evalCode(REDUCER)).dispose()
    const reduce = context.getProp(context.global, 'reduce')
    const values = input.map((text) => context.newString(text))
    const result = context.unwrapResult(context.callFunction(reduce, context.undefined, ...values))
    const output = context.getString(result)
    for (const handle of [result, reduce, ...values]) handle.dispose()
    context.dispose()
    runtime.dispose()
    return output
  }
}

/** Calls per second of CPU time: median of samples, warmed up. */
function perCpuSecond(call: () => unknown): number {
  const sample = (seconds: number) => {
    const start = cpuNowS()
    let calls = 0
    let used = 0
    while (used < seconds) {
      for (let i = 0; i < 20; i++) call()
      calls += 20
      used = cpuNowS() - start
    }
    return calls / used
  }
  sample(SAMPLE_CPU_S)
  return median(Array.from({ length: SAMPLES }, () => sample(SAMPLE_CPU_S)))
}
