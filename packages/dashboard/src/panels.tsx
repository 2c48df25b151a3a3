/** The panels of the Control Room, each a plain view of the snapshot. */
import { formatTerm } from '@smartlayer/protocol'
import { type HealthSummary, healthOf } from './health.ts'
import { nameOf, type SnapshotView, short, tokensOf } from './model.ts'
import { type StreamSummary, streamsOf } from './streams.ts'

type Props = { readonly view: SnapshotView }

/** Events shown, newest first. */
const EVENTS_SHOWN = 40

export function Network({ view }: Props) {
  return (
    <section aria-labelledby="nodes">
      <h2 id="nodes">Nodes</h2>
      <ul class="nodes">
        {view.nodes.map(({ name, running, status }) => (
          <li key={name} class={`${name.startsWith('anchor') ? 'anchor' : 'service'} ${status?.ready ? 'up' : 'down'}`}>
            <b>{name}</b>
            <span>{!running ? 'ended' : status ? (status.ready ? 'ready' : status.reason) : 'no answer'}</span>
            <small>
              {status ? `${status.peers.filter((peer) => peer.connected).length} peers · ${short(status.node)}` : '–'}
            </small>
          </li>
        ))}
      </ul>
    </section>
  )
}

export function Tokens({ view }: Props) {
  return (
    <section aria-labelledby="tokens">
      <h2 id="tokens">Tokens</h2>
      {tokensOf(view).map(({ token, term, executor, proposer, replicas }) => (
        <article key={token}>
          <h3>{token}</h3>
          <p>
            term {formatTerm(BigInt(term))} · executor <b>{nameOf(view, executor)}</b> · elected by{' '}
            {nameOf(view, proposer)}
          </p>
          <div class="scroll">
            <table>
              <thead>
                <tr>
                  <th>Replica</th>
                  <th>Position</th>
                  <th>State root</th>
                  <th>Effects</th>
                </tr>
              </thead>
              <tbody>
                {replicas.map(({ name, view: replica }) => (
                  <tr key={name} class={replica.disputed ? 'disputed' : ''}>
                    <td>{name === nameOf(view, executor) ? `♛ ${name}` : name}</td>
                    <td data-position={replica.confirmed}>{replica.confirmed ?? '–'}</td>
                    <td>
                      <code>{short(replica.stateRoot)}</code> {replica.disputed}
                    </td>
                    <td>{replica.effects.map((effect) => `${effect.name}: ${effect.status}`).join(', ') || '–'}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </article>
      ))}
    </section>
  )
}

export function Health({ view }: Props) {
  const { by, nodes } = healthOf(view)
  return (
    <section aria-labelledby="health" class="wide">
      <h2 id="health">Service levels</h2>
      {by ? <p>As {by} judges them, by what all probers measured.</p> : <p>No anchor answers.</p>}
      <ul class="levels">
        {nodes.map((node) => (
          <Level key={node.node} level={node} />
        ))}
      </ul>
    </section>
  )
}

function Level({ level }: { readonly level: HealthSummary }) {
  const { name, state, tone, score, reads, placed, reasons, next } = level
  return (
    <li class={tone} data-node={name} data-state={state}>
      <h3>
        <span class="name">{name}</span> <span class="state">{state}</span>
      </h3>
      <meter min={0} max={100} value={score} aria-label={`score of ${name}`} />
      <dl>
        <Fact name="score" value={`${score} %`} />
        <Fact name="share of reads" value={`${reads} %`} />
        <Fact name="placed" value={placed} />
      </dl>
      {reasons.map((reason) => (
        <p key={reason}>{reason}</p>
      ))}
      <small>{next}</small>
    </li>
  )
}

export function Streams({ view }: Props) {
  const { shown, rest } = streamsOf(view)
  return (
    <section aria-labelledby="streams" class="wide">
      <h2 id="streams">Streams</h2>
      {shown.length === 0 && <p>No stream has an entry yet.</p>}
      <div class="streams">
        {shown.map((stream) => (
          <Stream key={stream.stream} stream={stream} />
        ))}
      </div>
      {rest.count > 0 && (
        <p>
          {rest.count} more that moved earlier
          {rest.states.map(({ state, count }) => ` · ${count} ${state}`).join('')}
        </p>
      )}
    </section>
  )
}

function Stream({ stream }: { readonly stream: StreamSummary }) {
  const { anchors, followers, sequence, certified, checkpoint, floor } = stream
  const together = anchors.filter(({ at, behind }) => at && behind === 0).length
  const late = followers.filter(({ state }) => state !== 'live').length
  return (
    <article class={`stream ${stream.state}`} data-stream={stream.stream}>
      <h3>
        <code>{short(stream.stream)}</code> <span class="state">{stream.state}</span>
      </h3>
      <p>
        by <code>{short(stream.issuer)}</code> · epoch {stream.epoch}
      </p>
      <p class="why">{stream.reason}</p>
      <dl>
        <Fact name="certified" value={certified === sequence ? certified : `${certified} of ${sequence}`} />
        <Fact name="checkpoint" value={checkpoint || 'none yet'} />
        <Fact name="kept from" value={floor + 1} />
        <Fact name="subscribers" value={stream.subscribers} />
      </dl>
      <details>
        <summary>
          {together} of {anchors.length} anchors at {sequence}
        </summary>
        <ul class="places">
          {anchors.map(({ name, at, behind, state, reason }) => (
            <li key={name} class={state}>
              <b>{name}</b> {at && `${at.sequence}, ${at.certified} certified`}
              {behind > 0 && <b> · {behind} behind</b>}
              {at && (
                <small>
                  head <code>{short(at.head)}</code> · checkpoint {at.checkpoint} · kept from {Number(at.floor) + 1}
                </small>
              )}
              <small>
                {state}: {reason}
              </small>
            </li>
          ))}
        </ul>
      </details>
      {followers.length > 0 && (
        <details>
          <summary>
            Subsets that service nodes follow: {followers.length + stream.moreFollowers}
            {late > 0 ? `, ${late} not up to date` : ''}
          </summary>
          <ul class="places">
            {followers.map(({ name, subset, after, known, waiting, behind, state, reason }) => (
              <li key={`${name}/${subset}`} class={state}>
                <b>{name}</b> <code>{short(subset)}</code> {after} of {known}
                {behind > 0 && <b> · {behind} behind</b>}
                {waiting > 0 && ` · ${waiting} waiting`}
                <small>
                  {state}: {reason}
                </small>
              </li>
            ))}
          </ul>
          {stream.moreFollowers > 0 && <p>{stream.moreFollowers} more, no further behind</p>}
        </details>
      )}
    </article>
  )
}

function Fact({ name, value }: { readonly name: string; readonly value: string | number }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}

export function Events({ view }: Props) {
  const shown = view.events.slice(-EVENTS_SHOWN).reverse()
  return (
    <section aria-labelledby="events">
      <h2 id="events">Events</h2>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and keys scroll only what has the focus */}
      <ol class="events" tabIndex={0} aria-labelledby="events">
        {shown.map(({ node, sequence, time, event, level, facts }) => (
          <li key={`${node}-${sequence}-${time}`} class={level}>
            <time>{new Date(time).toISOString().slice(11, 23)}</time> <b>{node}</b> {event}{' '}
            <small>
              {Object.entries(facts)
                .filter(([key]) =>
                  ['n', 'term', 'sequence', 'uid', 'root', 'end', 'reason', 'code', 'executor'].includes(key),
                )
                .map(([key, value]) => `${key} ${shownFact(key, String(value))}`)
                .join(' · ')}
            </small>
          </li>
        ))}
      </ol>
    </section>
  )
}

function shownFact(key: string, value: string): string {
  if (key === 'term' && /^\d{1,20}$/.test(value)) return formatTerm(BigInt(value))
  return value.length > 20 ? short(value) : value
}
