/** NATS JetStream of Debian's `nats-server`, in a folder of its own: what the log of streams is measured beside. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import { type JetStreamClient, jetstream, jetstreamManager, StorageType } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'

const CONNECT_ATTEMPTS = 50
const CONNECT_WAIT_MS = 100
const SUBJECT = 'attestations'

export type Nats = {
  /** Resolves when the server has acknowledged; it does so without fsync, and this version cannot be told otherwise. */
  readonly publish: (stream: number, bytes: Uint8Array) => Promise<unknown>
  readonly pid: number
  readonly version: string
  readonly stop: () => Promise<void>
}

/** Starts a server; undefined, after saying why, when there is none and none can be installed. */
export async function startNats(folder: string): Promise<Nats | undefined> {
  const version = installedVersion() ?? installed()
  if (version === undefined) return undefined
  const port = await freePort()
  const server = spawn('nats-server', ['-js', '-sd', folder, '-a', '127.0.0.1', '-p', String(port)], {
    stdio: 'ignore',
  })
  try {
    const connection = await connect({
      servers: `127.0.0.1:${port}`,
      waitOnFirstConnect: true,
      maxReconnectAttempts: CONNECT_ATTEMPTS,
      reconnectTimeWait: CONNECT_WAIT_MS,
    })
    const client = await streamsOf(connection)
    return {
      publish: (stream, bytes) => client.publish(`${SUBJECT}.${stream}`, bytes),
      pid: server.pid!,
      version,
      stop: async () => {
        await connection.close()
        await ended(server)
      },
    }
  } catch (error) {
    await ended(server)
    throw error
  }
}

async function streamsOf(connection: NatsConnection): Promise<JetStreamClient> {
  const manager = await jetstreamManager(connection)
  await manager.streams.add({ name: SUBJECT, subjects: [`${SUBJECT}.>`], storage: StorageType.File })
  return jetstream(connection)
}

function installedVersion(): string | undefined {
  const { status, stdout } = spawnSync('nats-server', ['--version'], { encoding: 'utf8' })
  return status === 0 ? stdout.trim().replace('nats-server: v', '') : undefined
}

function installed(): string | undefined {
  if (process.getuid?.() !== 0) {
    console.error('✖ There is no nats-server, so its rows are missing.\n  fix: sudo apt-get install -y nats-server')
    return undefined
  }
  console.error('Setting up: installing nats-server from Debian (once) …')
  for (const args of [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends', 'nats-server'],
  ]) {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    if (spawnSync('apt-get', args, { stdio: ['ignore', 'ignore', 'inherit'], env }).status === 0) continue
    console.error(
      `✖ apt-get ${args.join(' ')} failed, so the rows of NATS are missing.\n  fix: install nats-server by hand`,
    )
    return undefined
  }
  return installedVersion()
}

function freePort(): Promise<number> {
  const probe = createServer()
  return new Promise((resolve, reject) => {
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      const port = typeof address === 'object' && address ? address.port : 0
      probe.close(() => resolve(port))
    })
  })
}

function ended(server: ChildProcess): Promise<unknown> {
  if (server.exitCode !== null || server.signalCode !== null) return Promise.resolve()
  const exit = new Promise((resolve) => server.once('exit', resolve))
  server.kill('SIGTERM')
  return exit
}
