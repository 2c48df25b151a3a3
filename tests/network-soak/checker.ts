/** Judges the histories of a soak of the network: a pure function from what everybody wrote down to what does not hold. */
import { type Finding, judge, type Law } from '../soak-kit/verdict.ts'
import type { Entry, Fact, Line, Memory, Request, Shown, Shows } from './history.ts'
import { type EffectStatus, type Replayed, replay } from './model.ts'

export type Bounds = { readonly anchors: readonly string[]; readonly tokens: readonly string[] }

/** A node's heap is limited; what it takes beside the heap must not grow without end either. */
const RSS_LIMIT_MB = 240

type Publication = Fact & { end: 'ok' | 'fail' | 'open' }
type Asked = {
  readonly process: string
  readonly who: string
  readonly token: string
  readonly minN: number
  readonly answers: { readonly n: number; readonly root: string; readonly shown: Shown }[]
}
type Acted = {
  readonly who: string
  readonly token: string
  readonly id: string
  readonly by: number
  acknowledged: { readonly digest: string; readonly n: number; readonly refused: string } | undefined
}
type Step = Extract<Line, { f: 'request' }>['step']
type Requested = Request & { readonly steps: Set<Step> }
type Root = { readonly who: string; readonly token: string; readonly n: number; readonly root: string }
type Played = Extract<Line, { f: 'fault'; kind: 'ok' | 'fail' }>

type World = {
  readonly bounds: Bounds
  readonly publications: readonly Publication[]
  readonly acts: readonly Acted[]
  readonly queries: readonly Asked[]
  readonly shows: readonly Shows[]
  readonly entries: ReadonlyMap<string, Entry>
  /** Each token's journal, as far as it has no hole. */
  readonly journals: ReadonlyMap<string, readonly Entry[]>
  readonly models: ReadonlyMap<string, Replayed>
  readonly ends: readonly Extract<Line, { f: 'end' }>[]
  readonly roots: readonly Root[]
  readonly requests: readonly Requested[]
  readonly statuses: ReadonlyMap<string, EffectStatus>
  readonly played: readonly Played[]
  readonly memory: readonly Memory[]
  readonly logs: readonly string[]
  readonly orphans: readonly string[]
  readonly looked: Readonly<Record<'logs' | 'processes', number>>
  readonly wrong: readonly string[]
}

const LAWS: Readonly<Record<string, Law<World>>> = {
  'every fact with a receipt is applied on every token that follows it, once, in order': applied,
  'every token ends where its issuer and its actor brought it': completed,
  'every verified answer shows what the journal makes of the token at its place': answered,
  'no committed entry is lost or changed, whichever anchor is asked, and when': unchanged,
  'all anchors end with the same journals': level,
  'replicas have equal roots at equal places': sameRoots,
  'every charge was made once, under one key': chargedOnce,
  'no call was made twice, under one key': calledOnce,
  'no call is repeated unless the one before it was refused': repeatedWhenRefused,
  'a call of which nobody can know is uncertain': uncertainWhenLost,
  'every effect came to an end': settled,
  'every acknowledged action is in the journal, and none that nobody took': actedOnce,
  'readers never go back': forward,
  'the network became whole again after each fault': healed,
  'nodes keep within their memory': bounded,
  'killed nodes leave no process behind': noOrphans,
  'no node logged a failure of its own': noErrors,
  'nobody was refused without a reason, and no answer contradicts itself': ({ queries, wrong }) => ({
    looked: queries.length,
    faults: wrong,
  }),
}

export function check(lines: readonly Line[], bounds: Bounds): readonly Finding[] {
  return judge(worldOf(lines, bounds), LAWS)
}

// --- laws ---

function applied({ bounds, journals, publications }: World) {
  const published = new Map(publications.flatMap((each) => (each.end === 'fail' ? [] : [[placeOf(each), each]])))
  const faults: string[] = []
  let looked = 0
  for (const token of bounds.tokens) {
    const reached = { own: 0, all: 0 }
    for (const { n, input } of journals.get(token) ?? []) {
      if (input.kind !== 'input') continue
      looked++
      const topic = input.name === 'all' ? 'all' : token
      const fact = published.get(placeOf({ topic, index: input.index }))
      const isNext = input.index === reached[input.name] + 1
      if (!isNext) faults.push(`${token}: ${n} applies ${topic} ${input.index} after ${reached[input.name]}`)
      if (fact?.add !== input.add || fact.effect !== input.effect)
        faults.push(`${token}: ${n} applies ${topic} ${input.index} as nobody published it`)
      reached[input.name] = input.index
    }
    const missing = publications.filter(
      ({ topic, index, end }) =>
        end === 'ok' && ((topic === 'all' && index > reached.all) || (topic === token && index > reached.own)),
    )
    faults.push(...missing.map(({ topic, index }) => `${token}: ${topic} ${index} has its receipt and was not applied`))
  }
  return { looked, faults }
}

function completed({ bounds, queries, models }: World) {
  const faults = bounds.tokens.flatMap((token) => {
    const states = models.get(token)?.states ?? []
    const answers = queries.filter((asked) => asked.token === token).flatMap((asked) => asked.answers)
    const last = answers.sort((a, b) => a.n - b.n).at(-1)
    const wanted = states.at(-1)
    if (wanted && last && sameState(last.shown, wanted)) return []
    return [
      `${token}: the last answer is of ${last?.n}, and the journal goes on to another state at ${states.length - 1}`,
    ]
  })
  return { looked: models.size, faults }
}

function answered({ queries, models }: World) {
  const faults: string[] = []
  let looked = 0
  for (const { who, token, answers } of queries) {
    for (const { n, shown } of answers) {
      looked++
      const wanted = models.get(token)?.states[n]
      if (!wanted) faults.push(`${who}: answered from ${n} of ${token}, which no anchor has`)
      else if (!sameState(shown, wanted))
        faults.push(`${who}: at ${n} of ${token} ${JSON.stringify(shown)}, not ${JSON.stringify(wanted)}`)
    }
  }
  return { looked, faults }
}

function unchanged({ shows, entries, bounds, journals }: World) {
  const first = new Map<string, { readonly hash: string; readonly anchor: string }>()
  const furthest = new Map<string, number>()
  const faults: string[] = []
  let looked = 0
  for (const { anchor, token, from, hashes } of shows) {
    for (const [i, hash] of hashes.entries()) {
      looked++
      const n = from + i
      const known = first.get(`${token}/${n}`)
      if (!known) first.set(`${token}/${n}`, { hash, anchor })
      else if (known.hash !== hash)
        faults.push(`${token}: ${n} is one entry for ${known.anchor} and another for ${anchor}`)
      if (entries.get(hash)?.n !== n) faults.push(`${token}: the entry at ${n} of ${anchor} names another place`)
      const before = first.get(`${token}/${n - 1}`)
      if (before && entries.get(hash)?.previous !== before.hash)
        faults.push(`${token}: ${n} of ${anchor} does not follow ${n - 1}`)
      furthest.set(token, Math.max(n, furthest.get(token) ?? 0))
    }
  }
  for (const token of bounds.tokens) {
    const whole = journals.get(token)?.length ?? 0
    const far = furthest.get(token) ?? 0
    if (whole < far) faults.push(`${token}: nobody ever showed ${whole + 1}, though ${far} is committed`)
  }
  return { looked, faults }
}

function level({ bounds, ends, journals }: World) {
  const faults = bounds.tokens.flatMap((token) =>
    bounds.anchors.flatMap((anchor) => {
      const own = ends.find((end) => end.token === token && end.anchor === anchor)?.n ?? 0
      const whole = journals.get(token)?.length ?? 0
      return own === whole ? [] : [`${anchor} has ${own} of ${whole} entries of ${token}`]
    }),
  )
  return { looked: ends.length, faults }
}

function sameRoots({ roots }: World) {
  const first = new Map<string, Root>()
  const faults: string[] = []
  for (const root of roots) {
    const known = first.get(`${root.token}/${root.n}`)
    if (!known) first.set(`${root.token}/${root.n}`, root)
    else if (known.root !== root.root) faults.push(`${root.token} at ${root.n}: ${root.who} differs from ${known.who}`)
  }
  return { looked: roots.length, faults }
}

function chargedOnce(world: World) {
  return executedOnce(world, 'bank', ({ status, times }) => {
    if (times > 1) return `was made ${times} times`
    if (status === 'succeeded' && times === 0) return 'succeeded and was never made'
    return undefined
  })
}

function calledOnce(world: World) {
  return executedOnce(world, 'phone', ({ status, times }) => {
    if (times > 1) return `was made ${times} times`
    if (status === 'succeeded' && times === 0) return 'succeeded and was never made'
    if (status === 'awaiting failure attestation' && times > 0) return 'was made, and is said to have failed'
    return undefined
  })
}

function executedOnce(
  { requests, statuses }: World,
  api: Request['api'],
  fault: (of: { readonly status: EffectStatus | undefined; readonly times: number }) => string | undefined,
) {
  const things = requestsById(requests, api)
  const faults = [...things].flatMap(([id, all]) => {
    const keys = new Set(all.map(({ key }) => key))
    const times = all.filter(({ steps }) => steps.has('executed')).length
    const found = fault({ status: statuses.get(all[0]!.key), times })
    return [...(keys.size > 1 ? [`${id} came under ${keys.size} keys`] : []), ...(found ? [`${id} ${found}`] : [])]
  })
  return { looked: things.size, faults }
}

function repeatedWhenRefused({ requests }: World) {
  const things = requestsById(requests, 'phone')
  const faults = [...things].flatMap(([id, all]) =>
    all
      .slice(0, -1)
      .filter(({ steps }) => !steps.has('refused'))
      .map(({ request, steps }) => `${id}: request ${request} was repeated after ${[...steps].join(', ')}`),
  )
  return { looked: things.size, faults }
}

function uncertainWhenLost({ requests, statuses }: World) {
  const lost = [...requestsById(requests, 'phone')].flatMap(([id, all]) => {
    const last = all.at(-1)!
    const isKnown = last.steps.has('answered') || last.steps.has('refused')
    return isKnown ? [] : [{ id, key: last.key, steps: [...last.steps].join(', ') }]
  })
  const faults = lost
    .filter(({ key }) => statuses.get(key) !== 'uncertain')
    .map(({ id, key, steps }) => `${id} is ${statuses.get(key) ?? 'unknown'} after ${steps} and no answer`)
  return { looked: lost.length, faults }
}

function settled({ models, statuses }: World) {
  const open = [...statuses].filter(([, status]) => status === 'pending' || status === 'attempting')
  const faults = open.map(([key, status]) => `${key.slice(0, 10)} is still ${status}`)
  for (const [token, { states, effects }] of models) {
    const { asked } = states.at(-1)!
    if (asked !== effects.size) faults.push(`${token}: ${asked} effects were asked for, ${effects.size} attempted`)
  }
  return { looked: statuses.size, faults }
}

function actedOnce({ acts, journals }: World) {
  const taken = new Map(acts.map((act) => [`${act.token}/${act.id}`, act]))
  const faults: string[] = []
  const places = new Map<string, number>()
  for (const [token, entries] of journals) {
    const digests = new Map<string, string>()
    for (const { n, input } of entries) {
      if (input.kind !== 'action') continue
      if (taken.get(`${token}/${input.id}`)?.by !== input.by) faults.push(`${token}: nobody took the action at ${n}`)
      const other = digests.get(input.id)
      if (other !== undefined && other !== input.digest) faults.push(`${token}: ${input.id} was signed twice`)
      digests.set(input.id, input.digest)
      if (!places.has(`${token}/${input.digest}`)) places.set(`${token}/${input.digest}`, n)
    }
  }
  const acknowledged = acts.filter((act) => act.acknowledged)
  for (const { who, token, acknowledged: told } of acknowledged) {
    const { digest, n, refused } = told!
    const place = places.get(`${token}/${digest}`)
    if (place === undefined) faults.push(`${who}: acknowledged at ${n} of ${token}, and not in the journal`)
    else if (place > n) faults.push(`${who}: acknowledged at ${n} of ${token}, and in the journal at ${place}`)
    if (refused !== '') faults.push(`${who}: refused with ${refused}`)
  }
  return { looked: acknowledged.length, faults }
}

function forward({ queries }: World) {
  const seen = new Map<string, number>()
  const faults: string[] = []
  let looked = 0
  for (const { process, who, token, minN, answers } of queries) {
    const key = `${process}/${token}`
    for (const { n } of answers) {
      looked++
      const before = Math.max(minN, seen.get(key) ?? 0)
      if (n < before) faults.push(`${who}: ${token} at ${n} after ${before}`)
      seen.set(key, Math.max(n, before))
    }
  }
  return { looked, faults }
}

function healed({ played }: World) {
  const faults = played.filter(({ kind }) => kind === 'fail').map(({ name, detail }) => `${name}: ${detail}`)
  return { looked: played.length, faults }
}

function bounded({ memory }: World) {
  const most = new Map<string, Memory>()
  for (const each of memory) if (each.rssMb > (most.get(each.node)?.rssMb ?? 0)) most.set(each.node, each)
  const faults = [...most.values()]
    .filter(({ rssMb }) => rssMb > RSS_LIMIT_MB)
    .map(({ node, rssMb }) => `${node} took ${rssMb.toFixed(0)} MB, ${RSS_LIMIT_MB} are allowed`)
  return { looked: memory.length, faults }
}

function noOrphans({ orphans, looked }: World) {
  return { looked: looked.processes, faults: orphans }
}

function noErrors({ logs, looked }: World) {
  return { looked: looked.logs, faults: logs }
}

// --- the world ---

function worldOf(lines: readonly Line[], bounds: Bounds): World {
  const publications = new Map<string, Publication>()
  const acts = new Map<string, Acted>()
  const queries = new Map<string, Asked>()
  const entries = new Map<string, Entry>()
  const requests = new Map<string, Requested>()
  const shows: Shows[] = []
  const ends: World['ends'][number][] = []
  const roots: Root[] = []
  const played: Played[] = []
  const memory: Memory[] = []
  const logs: string[] = []
  const orphans: string[] = []
  const looked = { logs: 0, processes: 0 }
  const wrong: string[] = []
  for (const line of lines) {
    const who = `${line.process} ${line.life}.${line.op}`
    switch (line.f) {
      case 'publish':
        if (line.kind === 'invoke') publications.set(who, { ...factOf(line), end: 'open' })
        else if (publications.has(who)) publications.get(who)!.end = line.kind === 'info' ? 'open' : line.kind
        break
      case 'act':
        if (line.kind === 'invoke') acts.set(who, { ...line, who, acknowledged: undefined })
        else if (line.kind === 'ok' && acts.has(who)) acts.get(who)!.acknowledged = line
        break
      case 'query':
        if (line.kind === 'invoke') queries.set(who, { ...line, who, answers: [] })
        else if (line.kind !== 'ok') break
        else if (queries.has(who)) queries.get(who)!.answers.push(line)
        else wrong.push(`${who} is an answer that nobody asked for`)
        break
      case 'entry':
        entries.set(line.hash, line)
        break
      case 'request': {
        const known = requests.get(`${line.api}/${line.request}`) ?? { ...line, steps: new Set<Step>() }
        known.steps.add(line.step)
        requests.set(`${line.api}/${line.request}`, known)
        break
      }
      case 'shows':
        shows.push(line)
        break
      case 'end':
        ends.push(line)
        break
      case 'root':
        roots.push({ ...line, who: line.node })
        break
      case 'fault':
        if (line.kind !== 'invoke') played.push(line)
        break
      case 'memory':
        memory.push(line)
        break
      case 'log':
        logs.push(`${line.node}: ${line.line}`)
        break
      case 'orphan':
        orphans.push(`${line.pid}: ${line.command}`)
        break
      case 'looked':
        looked[line.at] += line.count
        break
      case 'wrong':
        wrong.push(`${line.process}: ${line.detail}`)
        break
    }
  }
  for (const { who, token, answers } of queries.values())
    roots.push(...answers.map(({ n, root }) => ({ who, token, n, root })))
  const journals = journalsOf(shows, entries, bounds)
  const models = new Map([...journals].map(([token, all]) => [token, replay(all)]))
  return {
    bounds,
    publications: [...publications.values()],
    acts: [...acts.values()],
    queries: [...queries.values()],
    entries,
    shows,
    journals,
    models,
    ends,
    roots,
    requests: [...requests.values()],
    statuses: new Map(
      [...models.values()].flatMap(({ effects }) => [...effects].map(([key, { status }]) => [key, status])),
    ),
    played,
    memory,
    logs,
    orphans,
    looked,
    wrong,
  }
}

/** What most anchors showed at each place, up to the first that nobody showed. */
function journalsOf(
  shows: readonly Shows[],
  entries: ReadonlyMap<string, Entry>,
  { tokens }: Bounds,
): ReadonlyMap<string, readonly Entry[]> {
  const votes = new Map<string, Map<string, Set<string>>>()
  for (const { anchor, token, from, hashes } of shows) {
    for (const [i, hash] of hashes.entries()) {
      const place = votes.get(`${token}/${from + i}`) ?? new Map<string, Set<string>>()
      votes.set(`${token}/${from + i}`, place.set(hash, (place.get(hash) ?? new Set()).add(anchor)))
    }
  }
  return new Map(
    tokens.map((token) => {
      const journal: Entry[] = []
      for (let place = votes.get(`${token}/1`); place; place = votes.get(`${token}/${journal.length + 1}`)) {
        const [most] = [...place].sort(([, a], [, b]) => b.size - a.size)
        const entry = entries.get(most![0])
        if (!entry) break
        journal.push(entry)
      }
      return [token, journal] as const
    }),
  )
}

function requestsById(requests: readonly Requested[], api: Request['api']): ReadonlyMap<string, readonly Requested[]> {
  const things = new Map<string, Requested[]>()
  for (const each of requests) if (each.api === api) things.set(each.id, [...(things.get(each.id) ?? []), each])
  for (const all of things.values()) all.sort((a, b) => a.request - b.request)
  return things
}

function factOf({ topic, index, add, effect }: Fact): Fact {
  return { topic, index, add, effect }
}

function placeOf({ topic, index }: Pick<Fact, 'topic' | 'index'>): string {
  return `${topic}/${index}`
}

function sameState(shown: Shown, wanted: Shown): boolean {
  const text = ({ own, all, ...rest }: Shown) =>
    [own, all]
      .flatMap(({ last, sum, gaps }) => [last, sum, gaps])
      .concat(rest.asked, rest.skipped, rest.charged, rest.called, rest.uncertain, rest.acted, rest.actionSum)
      .join()
  return text(shown) === text(wanted)
}
