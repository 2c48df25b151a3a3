/** The nodes of the peer of `resolve`, in one process: they know each other, hold one record, and tell their addresses. */
import { KAD_KEY, kadNode } from './kad-node.ts'

/** As large as a placement with its votes and renewal. */
const RECORD_BYTES = 2_500

const count = Number(process.argv[2])
const nodes = await Promise.all(Array.from({ length: count }, () => kadNode({ clientMode: false })))
const addresses = nodes.map(({ libp2p }) => String(libp2p.getMultiaddrs()[0]))
for (const node of nodes) await node.join(addresses)
const record = new Uint8Array(RECORD_BYTES).fill(1)
for await (const event of nodes[0]!.libp2p.services.dht.put(KAD_KEY, record)) void event
process.on('disconnect', () => process.exit(0))
process.send?.(addresses)
