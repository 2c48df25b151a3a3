/** Real TokenScript files beside the repository, for tests only; absent on most machines. */
import { existsSync, readFileSync } from 'node:fs'

export type CorpusFile = {
  readonly file: string
  readonly format: string
  readonly wellFormed: boolean
  readonly signature: string
  readonly signer: string
  readonly bytes: Uint8Array
}

const folder = new URL('../../../../shared/corpus/tokenscript/', import.meta.url)

/** The files of manifest.tsv; an empty list, with a line that says so, when the folder is missing. */
export function corpus(): CorpusFile[] {
  const manifest = new URL('manifest.tsv', folder)
  if (!existsSync(manifest)) {
    console.log('SKIPPED: no corpus of real TokenScript files at ../shared/corpus')
    return []
  }
  const [, ...rows] = readFileSync(manifest, 'utf8').trim().split('\n')
  return rows.map((row) => {
    const columns = row.split('\t')
    const file = columns[0]!
    return {
      file,
      format: columns[4]!,
      wellFormed: columns[7] === 'yes',
      signature: columns[9]!,
      signer: columns[10]!,
      bytes: readFileSync(new URL(file, folder)),
    }
  })
}
