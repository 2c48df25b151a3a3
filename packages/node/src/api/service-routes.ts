/** Routes of service nodes: queries, actions, and the sealing of secrets. */
import {
  ANY_FRESHNESS,
  actionRequestShape,
  answerShape,
  bytes32,
  type Freshness,
  queryRequestShape,
  sealingKeyShape,
  secretRequestShape,
} from '@smartlayer/protocol'
import type { FastifyRequest } from 'fastify'
import type { SecretService } from '../access/secret-service.ts'
import type { ServiceNode } from '../service-node.ts'
import { type Api, bodyOf, param, send, wholeNumber } from './server.ts'

export function serviceRoutes(api: Api, node: ServiceNode, secrets: SecretService): void {
  api.post('/v1/tokens/:token/query', async (request, reply) => {
    return send(reply, answerShape, await node.query(param(request, 'token'), bodyOf(request, queryRequestShape)))
  })
  api.get('/v1/tokens/:token/queries/:method', async (request, reply) => {
    const args = parameter(request, 'args') ?? 'null'
    const asked = { method: param(request, 'method'), args, wanted: freshnessOf(request) }
    const { body, etag } = await node.queryForEverybody(param(request, 'token'), asked)
    reply.header('etag', etag).header('cache-control', 'public, no-cache')
    if (request.headers['if-none-match'] === etag) return reply.code(304).send()
    return reply.type('application/json').send(body)
  })
  api.post('/v1/tokens/:token/actions', async (request, reply) => {
    return send(reply, answerShape, await node.act(param(request, 'token'), bodyOf(request, actionRequestShape)))
  })
  api.get('/v1/sealing-key', async (_, reply) => send(reply, sealingKeyShape, secrets.sealingKey()))
  api.post('/v1/secrets', async (request, reply) => {
    await secrets.put(bodyOf(request, secretRequestShape))
    return reply.code(204).send()
  })
}

/** How fresh an answer for everybody must be, from the query string. */
function freshnessOf(request: FastifyRequest): Freshness {
  const hash = (name: string) => {
    const text = parameter(request, name)
    return text === undefined ? ANY_FRESHNESS.stream : bytes32.parse(text, name)
  }
  return {
    ...ANY_FRESHNESS,
    minN: wholeNumber(request, 'minN', 0n),
    stream: hash('stream'),
    subset: hash('subset'),
    minSequence: wholeNumber(request, 'minSequence', 0n),
    maxAgeMs: wholeNumber(request, 'maxAgeMs', 0n),
  }
}

function parameter(request: FastifyRequest, name: string): string | undefined {
  return (request.query as Record<string, string | undefined>)[name]
}
