/** Routes around the life of an instance: export and restore at its home anchors, its end at its executor. */
import {
  answerShape,
  archiveShape,
  exportRequestShape,
  incarnationRequestShape,
  placeReachedShape,
  restoreAnswerShape,
  restoreRequestShape,
  retireRequestShape,
} from '@smartlayer/protocol'
import type { LifecycleService } from '../lifecycle/lifecycle-service.ts'
import type { ServiceNode } from '../service-node.ts'
import { type Api, bodyOf, param, send } from './server.ts'

export function archiveRoutes(api: Api, lifecycle: LifecycleService): void {
  api.post('/v1/tokens/:token/export', async (request, reply) => {
    const asked = bodyOf(request, exportRequestShape)
    return send(reply, archiveShape, await lifecycle.export(param(request, 'token'), asked))
  })
  api.post('/v1/tokens/:token/restore', async (request, reply) => {
    const asked = bodyOf(request, restoreRequestShape)
    return send(reply, restoreAnswerShape, await lifecycle.restore(param(request, 'token'), asked))
  })
  api.post('/v1/tokens/:token/incarnation', async (request, reply) => {
    const { kept } = bodyOf(request, incarnationRequestShape)
    return send(reply, placeReachedShape, await lifecycle.begin(param(request, 'token'), kept))
  })
}

export function retireRoute(api: Api, node: ServiceNode): void {
  api.post('/v1/tokens/:token/retire', async (request, reply) => {
    return send(reply, answerShape, await node.retire(param(request, 'token'), bodyOf(request, retireRequestShape)))
  })
}
