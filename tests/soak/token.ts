/** The token of the soak: three issuers with a stream each, and an instance that counts what reaches it. */
import { type Context, defineToken, v } from '@smartlayer/tokenscript/define'

type State = { readonly count: number }

const counted = {
  topic: () => 'line/0',
  schema: v.object({ n: v.string({ min: 1, max: 40 }), pad: v.string({ max: 20_000 }) }),
  apply: ({ count }: State, _: unknown, ctx: Context<State>) => ctx.next({ count: count + 1 }),
}

export default defineToken({
  type: 'soak',
  version: '1.0.0',
  state: v.object({ count: v.integer({ min: 0, max: 1_000_000_000 }) }),
  init: () => ({ count: 0 }),
  issuers: { single: { lane: 'facts' }, pipelined: { lane: 'facts' }, batch: { lane: 'facts' } },
  inputs: {
    single: { issuer: 'single', ...counted },
    pipelined: { issuer: 'pipelined', ...counted },
    batch: { issuer: 'batch', ...counted },
  },
  queries: {
    count: { scope: 'soak.count:read', returns: v.integer(), run: ({ count }) => count },
  },
})
