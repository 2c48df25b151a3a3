/** Executor processes: walled in, replaced when they hang, die or lie, and fair to every script. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterEach, describe, expect, test } from 'vitest'
import { EXECUTOR_LIMITS, GAS } from '../sandbox/limits.ts'
import { type ExecutorOptions, ExecutorPool } from './pool.ts'
import { engineFile, inProcessSandbox } from './sandbox.ts'

const SOURCES = fileURLToPath(new URL('..', import.meta.url))
const OPTIONS: ExecutorOptions = {
  childEntry: join(SOURCES, 'executor/child.ts'),
  wasmPath: engineFile(),
  readable: [SOURCES],
}
const ECHO = 'globalThis.smartToken = { call: (method, input) => method + input }'
const SPIN = 'globalThis.smartToken = { call() { for (;;); } }'
/** Of which a bare Node process has about 45, shared pages included. It varies by several MB between runs: this catches leaps. */
const MEGABYTES_RESIDENT = 100
const RUNAWAY_GAS = GAS.hard

let stack: AsyncDisposableStack | undefined
afterEach(async () => {
  await stack?.disposeAsync()
  stack = undefined
})

async function startPool(options: Partial<ExecutorOptions> = {}): Promise<ExecutorPool> {
  stack ??= new AsyncDisposableStack()
  return stack.use(await ExecutorPool.start({ ...OPTIONS, ...options }))
}

/** A process in place of the executor, which does what `program` says. */
async function startImpostor(program: string, options: Partial<ExecutorOptions> = {}): Promise<ExecutorPool> {
  const folder = await mkdtemp(join(tmpdir(), 'executor-'))
  stack ??= new AsyncDisposableStack()
  stack.defer(() => rm(folder, { recursive: true }))
  const childEntry = join(folder, 'impostor.mjs')
  await writeFile(childEntry, program)
  return startPool({ childEntry, readable: [folder], ...options })
}

const code = (error: unknown) => (error as { code?: string }).code

describe('an executor process', () => {
  test('answers as the same engine in this process does, gas included', async () => {
    const pool = await startPool()
    await using local = await inProcessSandbox()
    for (const sandbox of [pool, local]) await sandbox.load('0x01', ECHO)
    const answer = await pool.call('0x01', 'm', '{"ä":"😀"}', GAS.query)
    expect(answer).toMatchObject({ status: 'ok', output: 'm{"ä":"😀"}' })
    expect(answer).toEqual(await local.call('0x01', 'm', '{"ä":"😀"}', GAS.query))
  })

  test('refuses a script that does not load, one it never saw, and what is too large', async () => {
    const pool = await startPool()
    await expect(pool.load('0x02', 'throw new Error("no")')).rejects.toMatchObject({ code: 'sandbox.threw' })
    await expect(pool.load('0x02', 'for (;;);')).rejects.toMatchObject({ code: 'sandbox.out_of_gas' })
    await expect(pool.call('0x02', 'm', '', GAS.query)).rejects.toMatchObject({ code: 'script.not_found' })
    await expect(pool.load('0x03', ' '.repeat(600_000))).rejects.toMatchObject({ code: 'script.too_large' })
    await expect(pool.call('0x02', 'm', ' '.repeat(600_000), 1n)).rejects.toMatchObject({ code: 'message.too_large' })
  })

  test('is small when it is bundled, as nodes run it', async () => {
    stack = new AsyncDisposableStack()
    const folder = await mkdtemp(join(tmpdir(), 'executor-'))
    stack.defer(() => rm(folder, { recursive: true }))
    const childEntry = join(folder, 'executor.mjs')
    const { childEntry: source } = OPTIONS
    await build({
      entryPoints: [source],
      outfile: childEntry,
      bundle: true,
      platform: 'node',
      format: 'esm',
      minify: true,
    })
    const pool = await startPool({ childEntry, readable: [folder] })
    await pool.load('0x01', ECHO)
    for (let i = 0; i < 500; i++) await pool.call('0x01', 'm', '"x"', GAS.query)
    const status = await readFile(`/proc/${pool.pid}/status`, 'utf8')
    expect(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024).toBeLessThan(MEGABYTES_RESIDENT)
  })
})

describe('what goes wrong in the process is a fault, never a verdict', () => {
  test('killed in the middle of a call: the call fails, the next process goes on', async () => {
    const pool = await startPool()
    await pool.load('0x01', ECHO)
    const before = pool.pid!
    process.kill(before, 'SIGSTOP')
    const running = pool.call('0x01', 'm', '', GAS.query).catch(code)
    const waiting = pool.call('0x01', 'next', '', GAS.query)
    process.kill(before, 'SIGKILL')
    expect(await running).toBe('sandbox.unavailable')
    expect(await waiting).toMatchObject({ status: 'ok', output: 'next' })
    expect(pool.pid).not.toBe(before)
  })

  test('hanging: the watchdog replaces it', async () => {
    const pool = await startPool({ watchdogMs: 500 })
    await pool.load('0x01', ECHO)
    process.kill(pool.pid!, 'SIGSTOP')
    expect(await pool.call('0x01', 'm', '', GAS.query).catch(code)).toBe('sandbox.unavailable')
    expect(await pool.call('0x01', 'm', '', GAS.query)).toMatchObject({ status: 'ok', output: 'm' })
  })

  test.each([
    ['no reply to a call', '[]'],
    ['no list', '"hello"'],
    ['gas that is no number', '[{ id, result: { status: "ok", output: "", gasUsed: "x" } }]'],
    ['an output beyond the limit', '[{ id, result: { status: "ok", output: "x".repeat(300000), gasUsed: "1" } }]'],
    ['an unknown ending', '[{ id, result: { status: "paid", gasUsed: "1" } }]'],
  ])('lying (%s): it is replaced and nobody waits for ever', async (_name, replies) => {
    const pool = await startImpostor(
      `process.on('message', (batch) => { const id = batch[0].id; process.send(${replies}) }); process.send([])`,
    )
    expect(await pool.load('0x01', ECHO).catch(code)).toBe('sandbox.unavailable')
  })

  test('not starting: start fails and leaves nothing behind', async () => {
    expect(await startImpostor('process.exit(3)').catch(code)).toBe('sandbox.unavailable')
  })

  test('not starting again: waiting calls fail, they do not hang', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'executor-'))
    stack = new AsyncDisposableStack()
    stack.defer(() => rm(folder, { recursive: true }))
    const childEntry = join(folder, 'once.mjs')
    await writeFile(childEntry, `process.on('message', () => process.exit(1)); process.send([])`)
    const pool = await startPool({ childEntry, readable: [folder] })
    await writeFile(childEntry, 'process.exit(1)')
    expect(await pool.load('0x01', ECHO).catch(code)).toBe('sandbox.unavailable')
    expect(await pool.load('0x01', ECHO).catch(code)).toBe('sandbox.unavailable')
  })

  test('stopped: whatever waits is refused', async () => {
    const pool = await startPool()
    await pool.load('0x01', ECHO)
    process.kill(pool.pid!, 'SIGSTOP')
    const calls = Array.from({ length: 3 }, () => pool.call('0x01', 'm', '', GAS.query).catch(code))
    await pool[Symbol.asyncDispose]()
    expect(await Promise.all(calls)).toEqual(Array(3).fill('sandbox.unavailable'))
    expect(await pool.call('0x01', 'm', '', GAS.query).catch(code)).toBe('sandbox.unavailable')
  })
})

describe('the queue', () => {
  test('is bounded per script, and in all', async () => {
    const pool = await startPool()
    await pool.load('0x01', ECHO)
    process.kill(pool.pid!, 'SIGSTOP')
    const { queuedCalls, queuedCallsPerScript } = EXECUTOR_LIMITS
    const outcomes: Promise<unknown>[] = []
    const send = (script: string) => outcomes.push(pool.call(script, 'm', '', GAS.query).catch(code))
    for (let i = 0; i <= queuedCallsPerScript + 1; i++) send('0x01')
    expect(await outcomes.at(-1)).toBe('queue.full')
    for (let i = 0; i < queuedCalls; i++) send(`0x1${i}`)
    expect(await outcomes.at(-1)).toBe('queue.full')
    await pool[Symbol.asyncDispose]()
    await Promise.all(outcomes)
  })

  test('gives every script its turn: a flood of one does not hold up another', async () => {
    const pool = await startPool()
    await pool.load('0x01', SPIN)
    await pool.load('0x02', ECHO)
    const ended: string[] = []
    const flood = Array.from({ length: 12 }, () =>
      pool.call('0x01', 'm', '', RUNAWAY_GAS).then(() => ended.push('flood')),
    )
    const polite = pool.call('0x02', 'm', '', GAS.query).then(() => ended.push('polite'))
    await Promise.all([...flood, polite])
    expect(ended.indexOf('polite')).toBeLessThanOrEqual(4)
  })

  test('keeps the order of one script', async () => {
    const pool = await startPool()
    await pool.load('0x01', ECHO)
    const ended: number[] = []
    await Promise.all(
      Array.from({ length: 40 }, (_, i) => pool.call('0x01', String(i), '', GAS.query).then(() => ended.push(i))),
    )
    expect(ended).toEqual(Array.from({ length: 40 }, (_, i) => i))
  })
})

test('the process can read no file, start no program, no thread, and compile no text', async () => {
  const pool = await startImpostor(`
    import { readFileSync } from 'node:fs'
    import { execSync } from 'node:child_process'
    import { Worker } from 'node:worker_threads'
    const attempt = (run) => { try { run(); return 'allowed' } catch (error) { return error.code ?? error.name } }
    const outcome = [
      attempt(() => readFileSync('/etc/passwd')),
      attempt(() => execSync('true')),
      attempt(() => new Worker('0', { eval: true })),
      attempt(() => (0, eval)('1')),
      JSON.stringify(Object.keys(process.env)),
    ].join(' ')
    process.on('message', (batch) => process.send(batch.map(({ id }) => ({ id, fault: outcome }))))
    process.send([])`)
  await expect(pool.load('0x01', ECHO)).rejects.toMatchObject({
    facts: { detail: 'ERR_ACCESS_DENIED ERR_ACCESS_DENIED ERR_ACCESS_DENIED EvalError []' },
  })
})
