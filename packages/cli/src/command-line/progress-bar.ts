/** How far something long has come, on standard error: one line that moves on a terminal, a line now and then elsewhere. */

const BAR_CELLS = 24
const TERMINAL_EVERY_MS = 100
const LINES_EVERY_MS = 5_000

export type ProgressBar = {
  /** `before` of those that are done were done by earlier runs; `detail` is a few words about where it stands. */
  update(progress: { readonly before: number; readonly done: number; readonly detail: string }): void
  /** Leaves the last state behind. */
  end(): void
}

export type ProgressBarOptions = {
  readonly total: number
  readonly isTerminal: boolean
  readonly write: (text: string) => void
  /** Milliseconds, monotonic. */
  readonly now: () => number
}

export function progressBar({ total, isTerminal, write, now }: ProgressBarOptions): ProgressBar {
  const started = now()
  const everyMs = isTerminal ? TERMINAL_EVERY_MS : LINES_EVERY_MS
  let shownAt = started
  let shown = ''
  let latest: string | undefined
  const show = (line: string) => {
    shown = line
    write(isTerminal ? `\r\u001b[K${line}` : `${line}\n`)
  }
  return {
    update(progress) {
      const time = now()
      latest = lineOf({ ...progress, total, elapsedMs: time - started })
      if (time - shownAt < everyMs) return
      shownAt = time
      show(latest)
    },
    end() {
      if (latest !== undefined && latest !== shown) show(latest)
      if (isTerminal && latest !== undefined) write('\n')
    },
  }
}

type Moment = {
  readonly before: number
  readonly done: number
  readonly total: number
  readonly elapsedMs: number
  readonly detail: string
}

/** `[========>       ]  12800/100000  12%  640/s  2:16 left  entry 12800`. */
export function lineOf({ before, done, total, elapsedMs, detail }: Moment): string {
  const share = total > 0 ? Math.min(1, done / total) : 1
  const filled = Math.floor(share * BAR_CELLS)
  const bar = `${'='.repeat(filled)}${filled < BAR_CELLS ? '>' : ''}`.padEnd(BAR_CELLS)
  const perSecond = elapsedMs > 0 ? ((done - before) * 1000) / elapsedMs : 0
  const left = perSecond > 0 ? `${clock((total - done) / perSecond)} left` : ''
  return [`[${bar}]`, `${done}/${total}`, `${Math.floor(share * 100)}%`, `${Math.round(perSecond)}/s`, left, detail]
    .filter((part) => part !== '')
    .join('  ')
}

function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60]
  const two = (value: number) => String(value).padStart(2, '0')
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`
}
