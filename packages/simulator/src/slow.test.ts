import { LOCAL_PARAMETERS } from '@smartlayer/node'
import { expect, test } from 'vitest'
import { slowScene } from './slow.ts'

/** An election without a lease to wait for, under loss. */
const ELECTION_MS = LOCAL_PARAMETERS.leaseMs

test.each([1, 2])('a slow node loses its placements while the instance goes on, twice alike: seed %i', async (seed) => {
  const scene = await slowScene(seed)
  expect(scene.violation).toBeUndefined()
  expect(scene.replicasBefore).toContain(scene.slow)
  expect(scene.replicasAfter).toHaveLength(3)
  expect(scene.replicasAfter).not.toContain(scene.slow)
  expect(scene.entries.after).toBeGreaterThan(scene.entries.moved)
  expect(scene.longestPauseMs).toBeLessThan(ELECTION_MS)
  expect(new Set(scene.states)).toEqual(new Set(['penalised']))
  expect(Math.min(...scene.penalties)).toBeGreaterThanOrEqual(1)
  expect(new Set(scene.others)).toEqual(new Set(['healthy']))
  expect((await slowScene(seed)).trace).toBe(scene.trace)
})
