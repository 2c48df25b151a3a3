/** The configuration of a node: one definition for types, defaults and refusals. */
import { readFileSync } from 'node:fs'
import { type Address, LOCAL_DIRECTORY, LOCAL_HEALTH, SmartLayerError } from '@smartlayer/protocol'
import { z } from 'zod'
import { LOCAL_PARAMETERS } from '../context.ts'

const address = z.custom<Address>(
  (value) => typeof value === 'string' && /^0x[0-9a-f]{40}$/.test(value),
  'an address in lowercase hex',
)
const milliseconds = z.number().int().min(1).max(86_400_000)
const fraction = z.number().min(0).max(1)
/** Longest extra delay that may be injected. */
const JITTER_LIMIT_MS = 60_000
const CUT_LIMIT = 4_096
const RESULT_CACHE_LIMIT_MIB = 65_536

/** Faults that a development network injects between its nodes on purpose. */
const faultsSchema = z.strictObject({
  /** Fraction of messages that are lost, and that are sent twice. */
  loss: fraction,
  duplicate: fraction,
  /** Every message is late by a uniform part of this. */
  jitterMs: z.number().int().min(0).max(JITTER_LIMIT_MS),
  /** Nodes that nothing is sent to and nothing is heard from. */
  cut: z.union([z.array(address).max(CUT_LIMIT), z.literal('all')]),
})
export type Faults = z.infer<typeof faultsSchema>
const faultChangeSchema = faultsSchema.partial()
/** What is to be different from now on; what is not named stays. */
export type FaultChange = z.infer<typeof faultChangeSchema>

const { objectives: LOCAL_OBJECTIVES, ...LOCAL } = LOCAL_HEALTH
const objectivesSchema = z.strictObject({
  availability: fraction.default(LOCAL_OBJECTIVES.standard.availability),
  latencyMs: milliseconds.default(LOCAL_OBJECTIVES.standard.latencyMs),
  stalenessMs: milliseconds.default(LOCAL_OBJECTIVES.standard.stalenessMs),
  failedCalls: fraction.default(LOCAL_OBJECTIVES.standard.failedCalls),
})
/** What is asked of service nodes, and how it is measured. */
const healthSchema = z.strictObject({
  windowMs: milliseconds.default(LOCAL.windowMs),
  probesPerWindow: z.number().int().min(1).max(1_000).default(LOCAL.probesPerWindow),
  objectives: z.strictObject({ standard: objectivesSchema }).default(LOCAL_OBJECTIVES),
  penaltyMs: milliseconds.default(LOCAL.penaltyMs),
  drainMs: milliseconds.default(LOCAL.drainMs),
  drainEpochMs: milliseconds.default(LOCAL.drainEpochMs),
})

const fields = z.strictObject({
  role: z.enum(['anchor', 'service']),
  /** Name in logs. */
  name: z.string().min(1).max(64),
  /** Data folder: keys (0600), store, log. */
  folder: z.string().min(1),
  chain: z.strictObject({ url: z.url(), id: z.number().int().positive() }),
  contracts: z.object({ nodeRegistry: address, tokenRegistry: address, eas: address }),
  /** host:port for other nodes, as registered. */
  overlay: z.string().regex(/^.+:\d+$/),
  apiHost: z.string().default('127.0.0.1'),
  apiPort: z.number().int().min(1).max(65_535),
  /** The executor's program and the engine file that it runs. */
  executor: z.string().min(1),
  engine: z.string().min(1),
  /** Instances that a service node would host. */
  capacity: z.number().int().min(1).max(10_000).default(10_000),
  /** How homes are drawn; fixed for a network. */
  directory: z
    .strictObject({
      shardCount: z.number().int().min(1).max(4_194_304).default(LOCAL_DIRECTORY.shardCount),
      homeSize: z.number().int().min(1).max(31).default(LOCAL_DIRECTORY.homeSize),
      rotation: z.number().int().min(1).max(64).default(LOCAL_DIRECTORY.rotation),
    })
    .optional(),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  /** Memory for results of queries, in MiB. */
  resultCacheMiB: z.number().int().min(0).max(RESULT_CACHE_LIMIT_MIB).default(32),
  /** Local networks only: private addresses may be called, and the node ends with the process that started it. */
  development: z.boolean().default(false),
  parameters: z
    .strictObject({
      leaseMs: milliseconds.default(LOCAL_PARAMETERS.leaseMs),
      epsilonMs: milliseconds.default(LOCAL_PARAMETERS.epsilonMs),
      heartbeatMs: milliseconds.default(LOCAL_PARAMETERS.heartbeatMs),
      replicas: z.number().int().min(1).max(31).default(LOCAL_PARAMETERS.replicas),
      retryMs: milliseconds.default(LOCAL_PARAMETERS.retryMs),
      checkpointEvery: z.number().int().min(1).max(64).default(LOCAL_PARAMETERS.checkpointEvery),
      health: healthSchema.optional(),
      idleMs: milliseconds.default(LOCAL_PARAMETERS.idleMs),
      staleReadsMs: z.number().int().min(0).max(86_400_000).default(LOCAL_PARAMETERS.staleReadsMs),
    })
    .default(LOCAL_PARAMETERS),
  /** Development only: faults that are injected on purpose from the start. */
  faults: faultChangeSchema.omit({ cut: true }).optional(),
})

export const configSchema = fields.refine(({ development, faults }) => development || !faults, {
  path: ['faults'],
  error: 'nothing here unless development is true: these are faults injected on purpose',
})
export type NodeConfig = z.infer<typeof configSchema>

/** Checks a configuration. Throws `config.invalid` with the path of the first value that is wrong. */
export function parseConfig(input: unknown): NodeConfig {
  const parsed = configSchema.safeParse(input)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw SmartLayerError.of('config.invalid', {
    at: issue?.path.join('.') || 'file',
    expected: issue?.message ?? 'a configuration',
  })
}

/** Checks a change of the injected faults. Throws `api.body_invalid`. */
export function parseFaults(input: unknown): FaultChange {
  const parsed = faultChangeSchema.safeParse(input)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw SmartLayerError.of('api.body_invalid', {
    detail: `${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'faults'}`,
  })
}

export function loadConfig(path: string): NodeConfig {
  let input: unknown
  try {
    input = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw SmartLayerError.because(error, 'config.invalid', { at: path, expected: 'a readable JSON file' })
  }
  return parseConfig(input)
}
