/** What registration and insurance have in common: an office says of one car what stands in its paper. */
import { defineToken, v } from '@smartlayer/tokenscript/define'

export const Paper = v.object({
  /** CAIP-19 id of the car. */
  car: v.string({ max: 200 }),
  number: v.string({ max: 32 }),
  /** Always the number of changes: `number` ends in it, so a mixture of two places would show. */
  edition: v.integer({ min: 0, max: 1_000_000 }),
})
const Attributes = v.object({
  chainId: v.string({ max: 20 }),
  contract: v.string({ max: 42 }),
  tokenId: v.string({ max: 78 }),
})
const State = v.object({ tokenId: v.string({ max: 78 }), paper: Paper })

export function paperToken(type: string) {
  return defineToken({
    type,
    version: '1.0.0',
    attributes: Attributes,
    state: State,
    init: ({ attributes }) => ({ tokenId: attributes.tokenId, paper: { car: '', number: '', edition: 0 } }),
    issuers: { office: { lane: 'papers' } },
    inputs: {
      written: {
        issuer: 'office',
        topic: (state) => `paper/${state.tokenId}`,
        schema: Paper,
        apply: (state, paper, ctx) => ctx.next({ ...state, paper }),
      },
    },
    queries: { paper: { scope: '', returns: Paper, run: ({ paper }) => paper } },
  })
}
