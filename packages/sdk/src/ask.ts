/** Asks anchors and goes on as soon as enough of them have answered: one slow anchor holds nobody up. */
import { SmartLayerError } from '@smartlayer/protocol'

/** One anchor's answer, or why it gave none. */
export type Asked<T> =
  | { readonly anchor: string; readonly value: T; readonly error?: undefined }
  | { readonly anchor: string; readonly error: unknown }

/** The answers and failures so far, once `enough` holds for the values, or all of them when it never does. */
export function askAll<T>(
  anchors: readonly string[],
  call: (anchor: string) => Promise<T>,
  enough: (values: readonly T[]) => boolean,
): Promise<readonly Asked<T>[]> {
  const asked: Asked<T>[] = []
  return new Promise((done) => {
    const note = (answer: Asked<T>) => {
      asked.push(answer)
      if (asked.length === anchors.length || enough(valuesOf(asked))) done([...asked])
    }
    for (const anchor of anchors) {
      call(anchor).then(
        (value) => note({ anchor, value }),
        (error) => note({ anchor, error }),
      )
    }
    if (anchors.length === 0) done([])
  })
}

/**
 * Asks `first` of the anchors in the order given, and one more whenever one fails, whenever an answer is not enough, and each
 * time that `hedgeMs` pass without the end.
 */
export function askSome<T>(
  anchors: readonly string[],
  call: (anchor: string) => Promise<T>,
  { first, hedgeMs, enough }: { first: number; hedgeMs: number; enough: (values: readonly T[]) => boolean },
): Promise<readonly Asked<T>[]> {
  const asked: Asked<T>[] = []
  let next = 0
  return new Promise((done) => {
    const end = () => {
      clearInterval(timer)
      done([...asked])
    }
    const note = (answer: Asked<T>) => {
      asked.push(answer)
      if (asked.length === anchors.length || enough(valuesOf(asked))) end()
      else if (asked.length >= first || 'error' in answer) begin()
    }
    const begin = () => {
      const anchor = anchors[next++]
      if (anchor === undefined) return
      call(anchor).then(
        (value) => note({ anchor, value }),
        (error) => note({ anchor, error }),
      )
    }
    const timer = setInterval(begin, hedgeMs)
    for (let i = 0; i < first; i++) begin()
    if (anchors.length === 0) end()
  })
}

export function valuesOf<T>(asked: readonly Asked<T>[]): readonly T[] {
  return asked.flatMap((answer) => ('value' in answer ? [answer.value] : []))
}

/** The refusal that more than `tolerated` anchors gave alike, so that at least one honest anchor gave it. */
export function agreedRefusal(asked: readonly Asked<unknown>[], tolerated: number): SmartLayerError | undefined {
  const refusals = asked.flatMap(({ error }) =>
    error instanceof SmartLayerError && error.code !== 'network.unreachable' ? [error] : [],
  )
  return refusals.find(({ code }) => refusals.filter((other) => other.code === code).length > tolerated)
}

/** Got X, needed Y, of Z, and which anchor failed how. */
export function notReached(asked: readonly Asked<unknown>[], { got, needed }: { got: number; needed: number }) {
  const failed = asked.flatMap((answer) =>
    'value' in answer ? [] : [`${answer.anchor}: ${answer.error instanceof Error ? answer.error.message : 'failed'}`],
  )
  const detail = failed.length > 0 ? failed.join('; ').slice(0, 500) : 'their answers differ'
  return SmartLayerError.of('quorum.not_reached', { got, needed, of: asked.length, detail })
}
