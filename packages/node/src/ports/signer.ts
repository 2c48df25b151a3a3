/** The node's identity key as a port, with the fast crypto it verifies with. */
import type { Crypto, Signer } from '@smartlayer/protocol'

export type Identity = { readonly signer: Signer; readonly crypto: Crypto }
