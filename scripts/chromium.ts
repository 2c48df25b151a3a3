/** Finds Chromium for the browser tests, and installs Debian's when it is missing and that is allowed. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

export const CHROMIUM = '/usr/bin/chromium'

/** Returns false, after saying what to do, when there is no Chromium and it cannot be installed. */
export function ensureChromium(): boolean {
  if (existsSync(CHROMIUM)) return true
  if (process.getuid?.() !== 0) {
    console.error('✖ The browser tests need Chromium.\n  fix: sudo apt-get install -y chromium')
    return false
  }
  console.error('Setting up: installing Chromium from Debian (once, about a minute) …')
  for (const args of [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends', 'chromium'],
  ]) {
    const { status } = spawnSync('apt-get', args, {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
    if (status !== 0) {
      console.error(`✖ apt-get ${args.join(' ')} failed.\n  fix: install Chromium by hand: apt-get install -y chromium`)
      return false
    }
  }
  return existsSync(CHROMIUM)
}
