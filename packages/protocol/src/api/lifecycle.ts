/** The HTTP API around the life of an instance: export, restore, its end (docs/spec/lifecycle.md). */
import { JournalCheckpoint } from '../journal/messages.ts'
import { archiveShape } from '../lifecycle/archive.ts'
import { Export, Restore, Retire } from '../lifecycle/messages.ts'
import { oneOf, optional, record, type ShapeOf, signature } from '../primitives/shape.ts'
import { uint } from '../primitives/struct.ts'
import { keptCheckpointShape } from '../wire/messages.ts'

/** POST /v1/tokens/:token/export: asked for by the owner of the contract or the holder of the token; answered with an archive. */
export const exportRequestShape = record({ request: Export, signature })
export type ExportRequest = ShapeOf<typeof exportRequestShape>

/** POST /v1/tokens/:token/restore: an archive, and the word of the owner where the archive alone does not suffice. */
export const restoreRequestShape = record({
  archive: archiveShape,
  order: optional(record({ statement: Restore, signature })),
})
export type RestoreRequest = ShapeOf<typeof restoreRequestShape>

/** The anchor knows now what the archive proves, or vouches for the checkpoint of the next incarnation. */
export const restoreAnswerShape = oneOf('step', {
  learnt: record({ n: uint(64), incarnation: uint(64) }),
  endorsed: record({ checkpoint: JournalCheckpoint, signature }),
})
export type RestoreAnswer = ShapeOf<typeof restoreAnswerShape>

/** POST /v1/tokens/:token/incarnation: a checkpoint that 2f + 1 home anchors endorsed; the incarnation begins with it. */
export const incarnationRequestShape = record({ kept: keptCheckpointShape })
export const placeReachedShape = record({ n: uint(64), incarnation: uint(64) })
export type PlaceReached = ShapeOf<typeof placeReachedShape>

/** POST /v1/tokens/:token/retire, at the executor: the owner of the contract ends the instance. */
export const retireRequestShape = record({ retire: Retire, signature })
export type RetireRequest = ShapeOf<typeof retireRequestShape>
