/** The Control Room: one page that shows the live network, its tokens, streams and events. */
import { signal } from '@preact/signals'
import { render } from 'preact'
import type { SnapshotView } from './model.ts'
import { Events, Health, Network, Streams, Tokens } from './panels.tsx'
import { STYLE } from './style.ts'

/** Data older than this is shown as stale. */
const STALE_MS = 10_000
const RETRY_MS = 1_000

const snapshot = signal<SnapshotView | undefined>(undefined)
const now = signal(Date.now())

function connect(): void {
  const socket = new WebSocket(`ws://${location.host}/live`)
  socket.addEventListener('message', ({ data }) => {
    snapshot.value = JSON.parse(data)
  })
  socket.addEventListener('close', () => setTimeout(connect, RETRY_MS))
}

function App() {
  const view = snapshot.value
  if (!view) return <p class="waiting">Waiting for the network …</p>
  const ageMs = Math.max(0, now.value - view.at)
  const up = view.nodes.filter((node) => node.status?.ready).length
  const block = view.nodes.find((node) => node.status)?.status?.block ?? '–'
  return (
    <div class={ageMs > STALE_MS ? 'page stale' : 'page'}>
      <header>
        <h1>Smart Layer · Control Room</h1>
        <p>
          network <b>local</b> · chain {view.network.chainId} · block {block} · {up} of {view.nodes.length} nodes ready
          · data {(ageMs / 1000).toFixed(1)} s old {ageMs > STALE_MS && <b>(stale)</b>}
        </p>
        <p class="badge">no enclave evidence: nodes run without TEE in this version</p>
      </header>
      <main>
        <Network view={view} />
        <Tokens view={view} />
        <Health view={view} />
        <Streams view={view} />
        <Events view={view} />
      </main>
    </div>
  )
}

document.head.append(Object.assign(document.createElement('style'), { textContent: STYLE }))
render(<App />, document.getElementById('app')!)
setInterval(() => {
  now.value = Date.now()
}, 500)
connect()
