/** What runs untrusted code and keeps secrets: the sandbox, its processes, and sealing. */
export { ExecutorPool } from './executor/pool.ts'
export { engineFile, inProcessSandbox, type Sandbox } from './executor/sandbox.ts'
export type { CallFailure, CallResult } from './sandbox/call-result.ts'
export { ENGINE_ID, Engine, prepareEngine } from './sandbox/engine.ts'
export { GAS } from './sandbox/limits.ts'
export { type SealingOpener, seal, sealingOpener } from './secrets/seal.ts'
