/** One process at a time for a file: a lock beside it that names its owner, taken over when that process is gone. */
import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, renameSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { SmartLayerError } from '@smartlayer/protocol'

/** Taking over a lock takes microseconds; a marker of it that is older was left by a crash. */
const TAKEOVER_MS = 10_000

/** `started` tells a process from a later one with the same number, where the system says it. */
type Owner = { readonly pid: number; readonly started: string; readonly host: string; readonly token: string }

/** Locks a file and returns how to unlock it. Throws `file.locked` while another owner lives. */
export function lockFile(path: string): () => void {
  const lock = `${path}.lock`
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const own: Owner = {
    pid: process.pid,
    started: startOf(process.pid),
    host: hostname(),
    token: randomBytes(8).toString('hex'),
  }
  const made = `${lock}.${own.token}`
  writeFileSync(made, JSON.stringify(own), { mode: 0o600 })
  try {
    if (!tryLink(made, lock)) takeOver(path, made)
  } finally {
    rmSync(made, { force: true })
  }
  return () => {
    if (ownerOf(lock)?.token === own.token) rmSync(lock, { force: true })
  }
}

/** A hard link appears whole or not at all, and never over another one. */
function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

/** Replaces the lock of a process that is gone; the folder keeps two processes from doing so at once. */
function takeOver(path: string, made: string): void {
  const lock = `${path}.lock`
  const folder = `${lock}.takeover`
  const refuse = (owner: Owner | undefined): never => {
    throw SmartLayerError.of('file.locked', {
      path,
      owner: owner ? `process ${owner.pid} on ${owner.host}` : 'a process',
    })
  }
  const before = ownerOf(lock)
  if (before && lives(before)) refuse(before)
  try {
    mkdirSync(folder)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
    if (Date.now() - (statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? 0) > TAKEOVER_MS) removeFolder(folder)
    refuse(before)
  }
  try {
    const owner = ownerOf(lock)
    if (owner && lives(owner)) refuse(owner)
    renameSync(made, lock)
  } finally {
    removeFolder(folder)
  }
}

function removeFolder(folder: string): void {
  try {
    rmdirSync(folder)
  } catch {
    // another process removed it
  }
}

/** Undefined when there is no lock, or what is there was never written whole. */
function ownerOf(lock: string): Owner | undefined {
  try {
    const { pid, started, host, token } = JSON.parse(readFileSync(lock, 'utf8')) as Owner
    return Number.isSafeInteger(pid) && pid > 0 ? { pid, started, host, token } : undefined
  } catch {
    return undefined
  }
}

/** Of a process on another machine nobody here knows whether it lives, so it does. */
function lives({ pid, started, host }: Owner): boolean {
  if (host !== hostname()) return true
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (codeOf(error) !== 'EPERM') return false
  }
  const now = startOf(pid)
  return now === '' || started === '' || now === started
}

/** When the process started, in ticks since the machine did; empty where the system does not say. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}
