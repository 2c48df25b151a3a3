/** What the Control Room shows, as the gateway sends it; every field comes from a node's own status. */

export type InstanceView = {
  readonly instance: string
  readonly token: string
  readonly term: string
  readonly executor?: string
  readonly replicas: readonly string[]
  readonly proposer?: string
  readonly expires: string
  readonly committed: string
  readonly confirmed?: string
  readonly stateRoot?: string
  readonly disputed?: string
  readonly effects: readonly {
    readonly id: string
    readonly name: string
    readonly status: string
    readonly attempts: number
  }[]
}

export type StatusView = {
  readonly node: string
  readonly role: 'anchor' | 'service'
  readonly ready: boolean
  readonly reason: string
  readonly evidence: string
  readonly epoch: string
  readonly block: string
  readonly peers: readonly { readonly node: string; readonly connected: boolean }[]
  readonly instances: readonly InstanceView[]
  readonly streams: readonly StreamView[]
  readonly followed: readonly FollowedView[]
  /** Streams and subsets that the node named and the gateway left out, because others moved later. */
  readonly leftOut?: { readonly streams: number; readonly followed: number }
}

/** A stream as one of its home anchors says. */
export type StreamView = {
  readonly stream: string
  readonly issuer?: string
  readonly epoch: string
  readonly sequence: string
  readonly head: string
  readonly certified: string
  readonly checkpoint: string
  readonly floor: string
  readonly followers: number
  readonly state: string
  readonly reason: string
}

/** A subset that a service node follows. */
export type FollowedView = {
  readonly stream: string
  readonly subset: string
  readonly after: string
  readonly known: string
  readonly waiting: number
  readonly state: string
  readonly reason: string
}

export type NodeView = {
  readonly name: string
  readonly api: string
  readonly running: boolean
  readonly status: StatusView | null
}

export type EventView = {
  readonly node: string
  readonly sequence: number
  readonly time: number
  readonly level: string
  readonly event: string
  readonly facts: Readonly<Record<string, unknown>>
}

/** A service node as the anchors judge it; scores and weights are parts of 10,000. */
export type HealthView = {
  readonly node: string
  readonly alive: boolean
  readonly state: 'healthy' | 'degraded' | 'draining' | 'penalised'
  readonly score: number
  readonly weight: number
  readonly reasons: readonly { readonly objective: string; readonly measured: number; readonly wanted: number }[]
  readonly missed: number
  readonly outlook: { readonly degraded: number; readonly draining: number; readonly penalty: number }
  readonly until: string
  readonly drain?: { readonly from: string; readonly until: string }
  readonly instances: number
  readonly limit: number
}

export type SnapshotView = {
  readonly at: number
  readonly network: { readonly chainId: number; readonly registry: string }
  readonly nodes: readonly NodeView[]
  /** What one anchor says of all service nodes; nothing when none answered. */
  readonly health?: { readonly by: string; readonly nodes: readonly HealthView[] } | null
  readonly events: readonly EventView[]
}

/** One token with what each replica says of it. */
export type TokenView = {
  readonly token: string
  readonly term: string
  readonly executor: string | undefined
  readonly proposer: string | undefined
  readonly replicas: readonly { readonly name: string; readonly view: InstanceView }[]
}

/** Tokens of all service nodes, newest term first where nodes differ. */
export function tokensOf({ nodes }: SnapshotView): readonly TokenView[] {
  const tokens = new Map<string, { name: string; view: InstanceView }[]>()
  for (const { name, status } of nodes) {
    for (const view of status?.role === 'service' ? status.instances : []) {
      tokens.set(view.token, [...(tokens.get(view.token) ?? []), { name, view }])
    }
  }
  return [...tokens].map(([token, all]) => {
    const newest = all.reduce((best, each) => (Number(each.view.term) > Number(best.view.term) ? each : best))
    const { term, executor, proposer, replicas } = newest.view
    const members = nodes.filter(({ status }) => status && replicas.includes(status.node)).map(({ name }) => name)
    return { token, term, executor, proposer, replicas: all.filter(({ name }) => members.includes(name)) }
  })
}

export function nameOf({ nodes }: SnapshotView, address: string | undefined): string {
  return nodes.find(({ status }) => status?.node === address)?.name ?? address ?? 'none'
}

/** The beginning of a hash, enough to compare by eye. */
export function short(hash: string | undefined): string {
  return hash ? `${hash.slice(0, 10)}…` : '–'
}
