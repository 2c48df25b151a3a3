/** The panels of the Control Room, each a plain view of the snapshot. */
import { nameOf, type SnapshotView, short, tokensOf } from './model.ts'

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
            term {term} · executor <b>{nameOf(view, executor)}</b> · elected by {nameOf(view, proposer)}
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

export function Streams({ view }: Props) {
  const anchors = view.nodes.filter(({ status }) => status?.role === 'anchor')
  const streams = [...new Set(anchors.flatMap(({ status }) => status?.streams.map(({ stream }) => stream) ?? []))]
  return (
    <section aria-labelledby="streams">
      <h2 id="streams">Streams</h2>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Stream</th>
              {anchors.map(({ name }) => (
                <th key={name}>{name}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {streams.map((stream) => (
              <tr key={stream}>
                <td>
                  <code>{short(stream)}</code>
                </td>
                {anchors.map(({ name, status }) => {
                  const at = status?.streams.find((candidate) => candidate.stream === stream)
                  return <td key={name}>{at ? `${at.sequence}${at.frozenAfter ? ' (frozen: fork)' : ''}` : '–'}</td>
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  )
}

export function Events({ view }: Props) {
  const shown = view.events.slice(-EVENTS_SHOWN).reverse()
  return (
    <section aria-labelledby="events">
      <h2 id="events">Events</h2>
      <ol class="events">
        {shown.map(({ node, sequence, time, event, level, facts }) => (
          <li key={`${node}-${sequence}-${time}`} class={level}>
            <time>{new Date(time).toISOString().slice(11, 23)}</time> <b>{node}</b> {event}{' '}
            <small>
              {Object.entries(facts)
                .filter(([key]) =>
                  ['n', 'term', 'sequence', 'uid', 'root', 'end', 'reason', 'code', 'executor'].includes(key),
                )
                .map(([key, value]) => `${key} ${String(value).length > 20 ? short(String(value)) : value}`)
                .join(' · ')}
            </small>
          </li>
        ))}
      </ol>
    </section>
  )
}
