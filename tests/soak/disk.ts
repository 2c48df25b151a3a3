/** What happens to the disk of an anchor: it is full, its newest file is torn, or something of it is gone. */
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'

/** Names the kind of mounts that this process may make, in the process that the script started for them. */
export const MOUNTS_VARIABLE = 'SMARTLAYER_SOAK_MOUNTS'
/** A small disk has room for what a run of this length writes, and some more. */
const DISK_MB = { least: 96, perSecond: 0.5 } as const
const CHUNKS = [1_048_576, 65_536, 4_096, 512] as const
const REFILL_MS = 50
/** Bytes at the end of a segment that a tear may reach. */
const TORN_BYTES = 4_096

/** How this process would get a mount namespace of its own, whose mounts vanish with it; undefined when it may not. */
export function namespaceFlags(): readonly string[] | undefined {
  const asRoot = ['--mount']
  const asAnybody = ['--user', '--map-root-user', '--mount']
  return [asRoot, asAnybody].find((flags) => {
    const probe = ['sh', '-c', 'd=$(mktemp -d) && mount -t tmpfs -o size=1m tmpfs "$d" && umount "$d" && rmdir "$d"']
    return spawnSync('unshare', [...flags, ...probe], { stdio: 'ignore' }).status === 0
  })
}

/** A small disk of its own at this folder. Call `unmount` before the folder is removed. */
export function mountDisk(folder: string, seconds: number): void {
  const size = Math.ceil(DISK_MB.least + DISK_MB.perSecond * seconds)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  run('mount', ['-t', 'tmpfs', '-o', `size=${size}m,mode=700`, 'tmpfs', folder])
}

export function unmountDisk(folder: string): void {
  run('umount', ['--lazy', folder])
}

/** Leaves no byte free in a folder's file system, also of what is freed meanwhile, until the returned function is called. */
export function fillDisk(folder: string): () => void {
  const path = join(folder, 'ballast')
  const file = openSync(path, 'w')
  let size = 0
  const fill = () => {
    for (const length of CHUNKS) {
      const chunk = Buffer.alloc(length)
      try {
        for (;;) size += writeSync(file, chunk, 0, length, size)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      }
    }
  }
  fill()
  const timer = setInterval(fill, REFILL_MS)
  return () => {
    clearInterval(timer)
    closeSync(file)
    rmSync(path, { force: true })
  }
}

/**
 * Where no disk may be mounted: no file of this process may grow beyond a size that some of its files have. Writes fail then, with
 * another error than that of a full disk.
 */
export function limitFiles(pid: number, bytes: number): void {
  run('prlimit', ['--pid', String(pid), `--fsize=${bytes}:unlimited`])
}

export type Tear = 'cut' | 'flip' | 'garbage'

/** Damages the end of the newest segment, as a crash of the whole machine may. Returns what was done. */
export function tearTail(node: string, tear: Tear, draw: () => number): string {
  const path = newestSegment(node)
  if (!path) return 'there is no segment'
  const { size } = statSync(path)
  const reach = 1 + Math.floor(draw() * Math.min(TORN_BYTES, Math.max(1, size - 64)))
  const file = openSync(path, 'r+')
  try {
    if (tear === 'cut') ftruncateSync(file, size - reach)
    else if (tear === 'garbage') writeSync(file, noise(reach, draw), 0, reach, size)
    else flip(file, size - reach, draw)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  return `${tear} of ${reach} bytes at the end of ${size}`
}

/** The largest file that a node appends to. */
export function segmentSize(node: string): number {
  const path = newestSegment(node)
  return path ? statSync(path).size : 0
}

export function dropIndex(node: string): string {
  const folder = join(node, 'streams')
  const files = readdirSync(folder).filter((name) => name.startsWith('index.db'))
  for (const name of files) rmSync(join(folder, name))
  return files.join(', ')
}

/** Everything but the keys, the configuration and the log of what happened. */
export function wipe(node: string): string {
  rmSync(join(node, 'streams'), { recursive: true, force: true })
  const files = readdirSync(node).filter((name) => name.startsWith('store.db'))
  for (const name of files) rmSync(join(node, name))
  return `streams/, ${files.join(', ')}`
}

function newestSegment(node: string): string | undefined {
  const folder = join(node, 'streams')
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.segment')) : []
  const newest = names.sort().at(-1)
  return newest && join(folder, newest)
}

function flip(file: number, at: number, draw: () => number): void {
  const byte = Buffer.alloc(1)
  readSync(file, byte, 0, 1, at)
  byte[0] = byte[0]! ^ (1 << Math.floor(draw() * 8))
  writeSync(file, byte, 0, 1, at)
}

function noise(length: number, draw: () => number): Buffer {
  return Buffer.from(Array.from({ length }, () => Math.floor(draw() * 256)))
}

function run(command: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`)
}
