/** How a call into a script ended: the same verdict on every machine. */

/** Every way in which a script can fail; `gasUsed` is never more than the call was given. */
export type CallFailure =
  | { readonly status: 'threw'; readonly message: string; readonly gasUsed: bigint }
  | { readonly status: 'outOfGas' | 'tooDeep' | 'outOfMemory'; readonly gasUsed: bigint }

/** `output` is the text that the script returned: well-formed Unicode, at most `ENGINE_LIMITS.outputBytes`. */
export type CallResult = { readonly status: 'ok'; readonly output: string; readonly gasUsed: bigint } | CallFailure
