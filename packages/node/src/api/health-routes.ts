/** Routes about the health of service nodes: at anchors the public ledger, at a service node its own maintenance. */
import {
  drainInfoShape,
  drainRequestShape,
  isHex,
  nodeHealthShape,
  nodePageShape,
  SmartLayerError,
  samplePageShape,
  WEIGHTS_LIMIT,
} from '@smartlayer/protocol'
import type { FastifyRequest } from 'fastify'
import type { HealthView } from '../health/health-view.ts'
import type { Maintenance } from '../health/maintenance.ts'
import { type Api, bodyOf, param, send, wholeNumber } from './server.ts'

export function healthRoutes(api: Api, view: HealthView): void {
  api.get('/v1/nodes', async (request, reply) => {
    const limit = Number(wholeNumber(request, 'limit', BigInt(WEIGHTS_LIMIT)))
    return send(reply, nodePageShape, view.page({ after: afterOf(request), limit: Math.max(1, limit) }))
  })
  api.get('/v1/nodes/:node/health', async (request, reply) => {
    return send(reply, nodeHealthShape, view.node(param(request, 'node')))
  })
  api.get('/v1/nodes/:node/samples', async (request, reply) => {
    return send(reply, samplePageShape, { samples: view.samples(param(request, 'node')) })
  })
}

/** In development anybody on the machine may send a node into maintenance: it signs that itself. */
export function maintenanceRoutes(api: Api, maintenance: Maintenance): void {
  api.post('/v1/development/drain', async (request, reply) => {
    const { forMs } = bodyOf(request, drainRequestShape)
    return send(reply, drainInfoShape, { drain: await maintenance.plan(forMs) })
  })
}

function afterOf(request: FastifyRequest) {
  const { after } = request.query as { after?: string }
  if (after === undefined) return undefined
  if (isHex(after, 20)) return after
  throw SmartLayerError.of('api.body_invalid', { detail: 'after is not an address in lowercase hex' })
}
