/** Every limit of the sandbox: what a script may use, and what the host keeps of it. They are part of the engine's meaning. */

/** Gas caps per kind of call (1 M gas is about 3.5 ms of one core). A call never gets more than `GAS.hard`. */
export const GAS = {
  query: 1_000_000n,
  update: 5_000_000n,
  migration: 20_000_000n,
  load: 20_000_000n,
  hard: 20_000_000n,
} as const

/** Limits inside the engine: the same program and input meet them at the same place on every machine. */
export const ENGINE_LIMITS = {
  /** Linear memory: 256 wasm pages, 16 MiB. */
  memoryPages: 256,
  /** Native stack units (locals + 24 per frame) that a call may nest; V8's own limit differs by tier, this one does not. */
  depthUnits: 72_000,
  /** What QuickJS may use of its own stack in linear memory. */
  stackBytes: 64 * 1024,
  /** Below QuickJS's stack limit, room for the native frames that it does not count; nothing deeper is ever written. */
  stackSlackBytes: 32 * 1024,
  /** Free memory that a loaded script has before its instance must grow; an instance that grew is replaced, about 1 ms. */
  headroomBytes: 192 * 1024,
  /** Free memory of the engine without a script: with the headroom, enough to load a small script without growing. */
  baseHeadroomBytes: 288 * 1024,
  /** Source text of one script. */
  scriptBytes: 512 * 1024,
  /** JSON text handed to one call. */
  inputBytes: 512 * 1024,
  /** JSON text that one call may return. */
  outputBytes: 256 * 1024,
  /** Name of a method. */
  methodBytes: 256,
  /** Text of an exception, in characters. */
  messageCharacters: 512,
} as const

/** Limits of the executor processes and their queue; they cost time, never a verdict. */
export const EXECUTOR_LIMITS = {
  /** Script images kept in one process. */
  imageBytes: 24 * 1024 * 1024,
  /** Script sources kept by the parent, to load them again after a restart. */
  codeBytes: 32 * 1024 * 1024,
  batchCalls: 16,
  /** Gas of one batch, where loading a script counts as `GAS.load`: well below what the watchdog allows. */
  batchGas: 40_000_000n,
  queuedCalls: 1_024,
  queuedCallsPerScript: 256,
  queuedBytes: 32 * 1024 * 1024,
  watchdogMs: 5_000,
  startMs: 15_000,
  /** Pause before a process that died is started again; doubles with each failure in a row. */
  restartMs: 50,
  restartLimitMs: 5_000,
  heapMegabytes: 64,
} as const
