/** The same peer over TLS 1.3, which Node has natively: libp2p's Noise is JavaScript and costs it most of its speed. */
import { tls } from '@libp2p/tls'
import type { StartHost } from './gossip-host.ts'
import { startLibp2p } from './gossip-libp2p.ts'

export const startHost: StartHost = (options) => startLibp2p(options, tls())
