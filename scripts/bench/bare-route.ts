/** The peer of attested queries, as its own process: the same Fastify route, answering a constant without any proof. */
import Fastify from 'fastify'

const [port, answer] = process.argv.slice(2)
const value: unknown = JSON.parse(answer ?? 'null')
const api = Fastify({ logger: false, bodyLimit: 1_100_000 })
api.get('/health', async () => ({ ok: true }))
api.post('/v1/tokens/:token/query', async (_, reply) => reply.type('application/json').send(JSON.stringify(value)))
await api.listen({ host: '127.0.0.1', port: Number(port) })
process.on('SIGTERM', () => process.exit(0))
