/** Routes of anchoring nodes beside those of streams: publish, placements, grants, journals, scripts. */
import {
  type Bytes32,
  GrantCheck,
  grantRequestShape,
  isHex,
  journalPageShape,
  keccakOfBytes,
  placementInfoShape,
  publishRequestShape,
  receiptInfoShape,
  record,
  revocationInfoShape,
  SmartLayerError,
  scriptInfoShape,
  signature,
} from '@smartlayer/protocol'
import { decodeTokenScript, verifyTokenScript } from '@smartlayer/tokenscript'
import type { FastifyRequest } from 'fastify'
import type { AnchoringNode } from '../anchoring-node.ts'
import { JOURNAL_PAGE_LIMIT } from '../journal/journal-service.ts'
import type { ScriptStore } from '../script/script-store.ts'
import { type Api, bodyOf, param, send, wholeNumber } from './server.ts'

const signedCheckShape = record({ check: GrantCheck, signature })

export function anchorRoutes(api: Api, node: AnchoringNode, scripts: ScriptStore): void {
  api.post('/v1/attestations', async (request, reply) => {
    const { items, domain } = bodyOf(request, publishRequestShape)
    return send(reply, receiptInfoShape, await node.publish(items, domain))
  })
  api.get('/v1/revocations/:uid', async (request, reply) => {
    const uid = id(request, 'uid')
    const item = node.streams.revocations.find(uid)
    if (!item) throw SmartLayerError.of('attestation.not_revoked', { uid })
    return send(reply, revocationInfoShape, { item })
  })
  api.get('/v1/tokens/:token/placement', async (request, reply) => {
    return send(reply, placementInfoShape, await node.placement(param(request, 'token')))
  })
  api.post('/v1/tokens/:token/grants', async (request, reply) => {
    const { grant } = bodyOf(request, grantRequestShape)
    return send(reply, signedCheckShape, await node.checkGrant(param(request, 'token'), grant))
  })
  api.get('/v1/instances/:instance/journal', async (request, reply) => {
    const instance = id(request, 'instance')
    const page = node.journals.page(instance, wholeNumber(request, 'from', 1n), limitOf(request, JOURNAL_PAGE_LIMIT))
    const checkpoint = node.journals.checkpoint(instance)?.certified
    return send(reply, journalPageShape, { instance, entries: page.entries, proof: page.proof as never, checkpoint })
  })
  api.post('/v1/scripts', async (request, reply) => {
    if (!Buffer.isBuffer(request.body))
      throw SmartLayerError.of('api.body_invalid', { detail: 'send the file as application/octet-stream' })
    // Only whole and signed files are kept; who may sign for a contract is decided when the chain names the file.
    verifyTokenScript(decodeTokenScript(request.body))
    const cid = await scripts.put(request.body)
    return send(reply, scriptInfoShape, { cid, scriptHash: keccakOfBytes(request.body) })
  })
  api.get('/ipfs/:cid', async (request, reply) => {
    const cid = param(request, 'cid')
    const bytes = await scripts.get(cid)
    if (!bytes) throw SmartLayerError.of('script.not_found', { what: cid.slice(0, 80) })
    reply.header('cache-control', 'public, max-age=31536000, immutable')
    return reply.type('application/octet-stream').send(bytes)
  })
}

function id(request: FastifyRequest, name: string): Bytes32 {
  const value = param(request, name)
  if (!isHex(value, 32))
    throw SmartLayerError.of('message.malformed', { at: name, expected: '32 bytes of lowercase hex' })
  return value
}

function limitOf(request: FastifyRequest, most: number): number {
  return Math.max(1, Math.min(Number(wholeNumber(request, 'limit', BigInt(most))), most))
}
