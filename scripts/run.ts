/** Runs one step of a script, showing its name, its time and, when it fails, all of its output. */
import { spawn } from 'node:child_process'

export type Step = {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly live?: boolean
}
export type StepResult = {
  readonly name: string
  readonly ok: boolean
  readonly seconds: number
  readonly output: string
}

export async function runStep({ name, command, args, live = false }: Step): Promise<StepResult> {
  const started = performance.now()
  process.stderr.write(`▸ ${name}${live ? '\n' : ' … '}`)
  const child = spawn(command, args, { stdio: live ? 'inherit' : ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout?.on('data', (chunk) => {
    output += chunk
  })
  child.stderr?.on('data', (chunk) => {
    output += chunk
  })
  const code = await new Promise<number>((resolve) => {
    child.on('error', () => resolve(127))
    child.on('close', (status) => resolve(status ?? 1))
  })
  const seconds = (performance.now() - started) / 1000
  process.stderr.write(`${live ? `  ${name}: ` : ''}${code === 0 ? '✔' : '✖'} ${seconds.toFixed(1)} s\n`)
  if (code !== 0 && !live) process.stderr.write(`${output}\n`)
  return { name, ok: code === 0, seconds, output }
}
