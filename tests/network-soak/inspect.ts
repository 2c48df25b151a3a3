/** What a soak looks at from outside of its nodes: their memory, their logs, and processes that nobody owns. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LocalNetwork } from '@smartlayer/cli'
import type { Recorder } from '../soak-kit/recorder.ts'
import type { What } from './history.ts'

/** Pino's level from which on a line says that something failed. */
const ERROR_LEVEL = 50
const LINE_LIMIT = 400

export function noteMemory({ nodes }: LocalNetwork, recorder: Recorder<What>): void {
  for (const [node, { pid, running }] of nodes) {
    const rssMb = pid !== undefined && running ? rssOf(pid) : undefined
    if (rssMb !== undefined) recorder.write(0, { kind: 'info', f: 'memory', node, pid: pid!, rssMb })
  }
}

/** Every line that says that a node failed, and every line that no node wrote in order. */
export function noteLogs({ layout }: LocalNetwork, recorder: Recorder<What>): void {
  let count = 0
  for (const { name: node, folder } of layout.nodes) {
    const path = join(folder, 'node.log')
    const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []
    count += lines.length
    for (const line of lines.filter(isFailure)) {
      recorder.write(0, { kind: 'info', f: 'log', node, line: line.slice(0, LINE_LIMIT) })
    }
  }
  recorder.write(0, { kind: 'info', f: 'looked', at: 'logs', count })
}

/** Sandboxes of this network whose node is gone. */
export function noteOrphans({ layout, nodes }: LocalNetwork, recorder: Recorder<What>): void {
  const owners = new Set([...nodes.values()].map(({ pid }) => pid))
  const bundles = join(layout.folder, 'bundles')
  let count = 0
  for (const pid of readdirSync('/proc').map(Number).filter(Number.isInteger)) {
    const command = commandOf(pid)
    if (!command.includes(bundles)) continue
    count++
    if (!owners.has(pid) && !owners.has(parentOf(pid))) recorder.write(0, { kind: 'info', f: 'orphan', pid, command })
  }
  recorder.write(0, { kind: 'info', f: 'looked', at: 'processes', count })
}

/** A kill may tear the line that was being written. */
function isFailure(line: string): boolean {
  try {
    return (JSON.parse(line) as { level: number }).level >= ERROR_LEVEL
  } catch {
    return !line.startsWith('{')
  }
}

function rssOf(pid: number): number | undefined {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(fileOf(pid, 'status'))?.[1]
  return kilobytes === undefined ? undefined : Number(kilobytes) / 1_024
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(fileOf(pid, 'status'))?.[1] ?? 0)
}

function commandOf(pid: number): string {
  return fileOf(pid, 'cmdline').replaceAll('\0', ' ').trim()
}

function fileOf(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8')
  } catch {
    return '' // it ended meanwhile
  }
}
