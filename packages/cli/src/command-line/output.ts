/** What goes to the terminal: data on standard output, everything else on standard error. */
import { styleText } from 'node:util'
import { consequencesOf, isSmartLayerError, SmartLayerError } from '@smartlayer/protocol'

type Style = 'green' | 'red' | 'dim' | 'bold'

export type Output = {
  readonly json: boolean
  /** The answer of a command: `value` as one JSON text with `--json`, otherwise the lines for people. */
  data(value: unknown, lines: readonly string[]): void
  /** What is being done; never data. */
  progress(step: string, detail: string): void
  /** What its reader should know; never data. */
  note(text: string): void
  style(style: Style, text: string): string
}

export function outputOf({ json, color }: { json: boolean; color: boolean }): Output {
  const colored = color && process.stdout.isTTY === true && !process.env.NO_COLOR
  const style = (name: Style, text: string) => (colored ? styleText(name, text) : text)
  return {
    json,
    style,
    data(value, lines) {
      process.stdout.write(json ? `${toJson(value)}\n` : lines.map((line) => `${line}\n`).join(''))
    },
    note: (text) => void process.stderr.write(`${printable(text)}\n`),
    progress: (step, detail) => void process.stderr.write(`✔ ${step.padEnd(10)} ${printable(detail)}\n`),
  }
}

/** JSON of any value; bigints become decimal text, as in the API. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, member) => (typeof member === 'bigint' ? String(member) : member))
}

/** Text from outside without control characters: no node may steer the reader's terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}|\p{Cf}/gu, '�')
}

/** Rows as columns that are as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)))
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

/** Prints what went wrong, why, how to fix it and the code; returns the exit code. */
export function reportFailure(error: unknown, json: boolean): number {
  const known = isSmartLayerError(error)
    ? error
    : SmartLayerError.because(error, 'bug.unexpected', {
        detail: error instanceof Error ? error.message : String(error),
      })
  const { message, fix, code, facts, kind, retryable } = known
  const text = json
    ? toJson({ error: { code, message, fix, retryable, facts } })
    : `✖ ${printable(message)}\n  fix: ${fix}\n  code: ${code}`
  process.stderr.write(`${text}\n`)
  if (kind === 'bug' && error instanceof Error && error.stack) process.stderr.write(`${error.stack}\n`)
  return consequencesOf[kind].exit
}
