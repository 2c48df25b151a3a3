/** An anchor's check of grants: signed by the holder, and the holder holds the token at a recent block. */
import {
  type AttestedGrant,
  digestOf,
  Grant,
  GrantCheck,
  type SignedGrantCheck,
  SmartLayerError,
  type TokenRef,
  toHex,
  tokenOf,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'

/** A check counts this long, in seconds: a grant dies with a transfer of the token within this time. */
const CHECK_LIFE_S = 3_600n
/** A grant may live this long, in seconds. */
const GRANT_LIFE_LIMIT_S = 30n * 86_400n

export class GrantService {
  readonly #ports: Pick<Ports, 'chain' | 'clock' | 'identity'>
  readonly #context: NodeContext

  constructor(ports: Pick<Ports, 'chain' | 'clock' | 'identity'>, context: NodeContext) {
    this.#ports = ports
    this.#context = context
  }

  /** Throws `grant.*`, `token.unknown`, `chain.unreachable`. */
  async check(ref: TokenRef, { grant, signature }: AttestedGrant): Promise<SignedGrantCheck> {
    const { crypto, signer } = this.#ports.identity
    const { domain } = this.#context
    const nowS = this.#ports.clock.now() / 1000n
    if (grant.token !== tokenOf(ref, crypto.keccak)) throw SmartLayerError.of('grant.token')
    if (grant.expires <= nowS) throw SmartLayerError.of('grant.expired', { expired: grant.expires, now: nowS })
    const life = grant.expires - grant.issuedAt
    if (life > GRANT_LIFE_LIMIT_S)
      throw SmartLayerError.of('attestation.lifetime', { seconds: life, limit: GRANT_LIFE_LIMIT_S })
    const digest = digestOf(Grant, grant, domain, crypto.keccak)
    if (crypto.recover(digest, signature) !== grant.holder) throw SmartLayerError.of('grant.signature')
    const { owner, block } = await this.#ports.chain.ownerOf(ref)
    if (owner === undefined) throw SmartLayerError.of('token.unknown', { token: grant.token })
    if (owner !== grant.holder)
      throw SmartLayerError.of('grant.not_owner', { holder: grant.holder, token: grant.token })
    const until = nowS + CHECK_LIFE_S
    const check: GrantCheck = {
      grant: toHex(digest),
      block: block.number,
      expires: until < grant.expires ? until : grant.expires,
    }
    return { check, signature: signer.sign(digestOf(GrantCheck, check, domain, crypto.keccak)) }
  }
}
