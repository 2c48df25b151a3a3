/** Routes of service nodes: queries, actions, and the sealing of secrets. */
import {
  actionRequestShape,
  answerShape,
  queryRequestShape,
  sealingKeyShape,
  secretRequestShape,
} from '@smartlayer/protocol'
import type { SecretService } from '../access/secret-service.ts'
import type { ServiceNode } from '../service-node.ts'
import { type Api, bodyOf, param, send } from './server.ts'

export function serviceRoutes(api: Api, node: ServiceNode, secrets: SecretService): void {
  api.post('/v1/tokens/:token/query', async (request, reply) => {
    return send(reply, answerShape, await node.query(param(request, 'token'), bodyOf(request, queryRequestShape)))
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
