/** What processes use, read from `/proc`: descendants, CPU time and memory. Linux only. */
import { readdirSync, readFileSync } from 'node:fs'

const TICKS_PER_S = 100
const KIB_PER_MIB = 1024

/** A process and all that it started, itself first. */
export function treeOf(pid: number): readonly number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? statOf(Number(name)) : undefined
    if (stat) parents.set(Number(name), Number(stat[1]))
  }
  const tree = [pid]
  for (const member of tree) for (const [child, parent] of parents) if (parent === member) tree.push(child)
  return tree
}

/** CPU seconds that these processes used so far. */
export function cpuOf(pids: readonly number[]): number {
  const ticks = pids.map((pid) => {
    const stat = statOf(pid)
    return stat ? Number(stat[11]) + Number(stat[12]) : 0
  })
  return ticks.reduce((sum, each) => sum + each, 0) / TICKS_PER_S
}

/** Proportional set size of these processes in MiB: shared pages count once, divided among their users. */
export function pssMiB(pids: readonly number[]): number {
  const sizes = pids.map((pid) => Number(/^Pss:\s+(\d+) kB/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1] ?? 0))
  return sizes.reduce((sum, each) => sum + each, 0) / KIB_PER_MIB
}

/** The fields of `/proc/PID/stat` from the state on; the name before them may hold anything. */
function statOf(pid: number): readonly string[] | undefined {
  const text = read(`/proc/${pid}/stat`)
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined // the process ended meanwhile
  }
}
