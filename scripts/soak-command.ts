/** What the soaks' commands share: how a run is stopped, how numbers are read, and how a verdict becomes an exit code. */

const IMPATIENT_MS = 1_000

export type Verdict = { readonly passed: number; readonly failed: number }

/** Runs a soak until it ends or is stopped, prints its report and its counts, and ends this process. */
export async function judged<Result extends Verdict>(
  run: (signal: AbortSignal) => Promise<Result>,
  { print, json }: { print: (result: Result) => string; json: boolean },
): Promise<never> {
  const stop = stopOnSignals()
  try {
    const result = await run(stop)
    process.stderr.write(print(result))
    console.log(json ? JSON.stringify(result) : `${result.passed} passed, ${result.failed} failed`)
    process.exit(result.failed === 0 ? 0 : 1)
  } catch (error) {
    if (stop.aborted) fail('It was stopped before it could be judged.')
    throw error
  }
}

function stopOnSignals(): AbortSignal {
  const stop = new AbortController()
  let stoppedAt = 0
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // One signal may come twice, to the whole group and handed on; who sends another one later does not want to wait.
      if (stop.signal.aborted && performance.now() - stoppedAt > IMPATIENT_MS) process.exit(1)
      if (!stop.signal.aborted) stoppedAt = performance.now()
      stop.abort()
    })
  }
  return stop.signal
}

export function number(text: string, name: string): number {
  return /^\d{1,10}$/.test(text) ? Number(text) : fail(`--${name} takes a whole number, not "${text}".`)
}

/** One of the names, or several: says which there are when there is no such one. */
export function known<Name extends string>(
  values: readonly string[],
  names: Readonly<Record<Name, unknown>>,
  option: string,
) {
  const unknown = values.find((value) => !Object.hasOwn(names, value))
  if (unknown) fail(`--${option} ${unknown} is not known. Use one of: ${Object.keys(names).join(', ')}.`)
  return values as readonly Name[]
}

export function fail(why: string): never {
  console.error(`✖ ${why}`)
  process.exit(2)
}
