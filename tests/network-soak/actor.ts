/** A process that acts on tokens, one action after the other, with the grants of their holder. */

import { fastCrypto } from '@smartlayer/node'
import { type AttestedGrant, isSmartLayerError } from '@smartlayer/protocol'
import { attestGrant, signGrant } from '@smartlayer/sdk/server'
import { generator, pause } from '../soak-kit/chance.ts'
import { codeOf, connected, takePart } from '../soak-kit/part.ts'
import { noteRefusal, type Part, type Plan, type PlannedToken, SCOPE } from './client.ts'
import type { What } from './history.ts'

const PAUSE_MS = { least: 300, most: 900 } as const
/** A holder grants for so long; a grant is asked for anew well before. */
const GRANT = { lifeS: 3_600n, renewMs: 240_000 } as const
const ORIGIN = 'http://soak.localhost'

const part: Part = takePart<Plan, What>()
const { plan, recorder, life } = part
const smartLayer = await connected(part, plan.keys.actor!, life)
const { site } = smartLayer
const holder = (await fastCrypto()).signer(plan.keys.holder!)
const draw = generator(2_000 * life + plan.seed)
const grants = new Map<string, { readonly grant: AttestedGrant; readonly at: number }>()

for (let made = 1; !part.stopped.aborted; made++) {
  const token = plan.tokens[Math.floor(draw() * plan.tokens.length)]!
  const by = Math.floor(draw() * 1_000)
  await grantOf(token)
    .then((grant) => act(token, grant, { id: `${life}.${made}`, by }))
    .catch((error: unknown) => noteRefusal(recorder, 'the holder', error))
  await pause(PAUSE_MS.least + draw() * (PAUSE_MS.most - PAUSE_MS.least), part.stopped)
}
recorder.close()
process.exit(0)

async function act(token: PlannedToken, grant: AttestedGrant, args: { id: string; by: number }): Promise<void> {
  const op = recorder.invoke({ kind: 'invoke', f: 'act', token: token.name, ...args })
  try {
    const { value, expected } = await smartLayer.token(token.token, grant).act('add', args)
    const { n, refused } = value as { n: string; refused: string }
    recorder.write(op, { kind: 'ok', f: 'act', digest: expected.requestHash, n: Number(n), refused })
  } catch (error) {
    // Nobody knows: the action may be journaled until it expires.
    recorder.write(op, { kind: 'info', f: 'act', code: codeOf(error) })
    if (!isSmartLayerError(error) || error.code !== 'query.unanswered') noteRefusal(recorder, part.name, error)
  }
}

async function grantOf({ token }: PlannedToken): Promise<AttestedGrant> {
  const known = grants.get(token)
  if (known && performance.now() - known.at < GRANT.renewMs) return known.grant
  const asked = { token, audience: site.signer.address, origin: ORIGIN, scopes: [SCOPE], lifeS: GRANT.lifeS }
  const grant = await attestGrant(site, token, signGrant(site, holder, asked))
  grants.set(token, { grant, at: performance.now() })
  return grant
}
