/** Bugs of streams to plant: each must be noticed by a checker of the world of streams. */
import type { Bug } from '../bugs.ts'

export const STREAM_BUGS: readonly Bug[] = []
