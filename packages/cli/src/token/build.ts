/** Builds a token: TypeScript in, one signed TokenScript file out. */
import { dirname, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ENGINE_ID } from '@smartlayer/enclave'
import { type Address, type Bytes32, type Hex, isSmartLayerError, SmartLayerError } from '@smartlayer/protocol'
import {
  buildTokenScript,
  cidOf,
  declarationOf,
  parseTokenScript,
  signTokenScript,
  type TokenDefinition,
  verifyTokenScript,
} from '@smartlayer/tokenscript'
import { build, type Message } from 'esbuild'

/** Names that differ between nodes, and what to use instead. */
const AMBIENT: readonly (readonly [RegExp, string, string])[] = [
  [/\bDate\.now\s*\(|\bnew\s+Date\b/, 'Date', 'ctx.time'],
  [/\bMath\.random\s*\(/, 'Math.random', 'a value inside an input'],
  [/\bfetch\s*\(/, 'fetch', 'an effect'],
  [/\bsetTimeout\s*\(|\bsetInterval\s*\(/, 'timers', 'an input that carries the time'],
  [/\bIntl\.|\.toLocale[A-Z]\w*\s*\(/, 'Intl', 'plain numbers and strings'],
]

export type BuildOptions = {
  /** The module whose default export is the definition. */
  readonly source: string
  readonly label: string
  readonly contract: { readonly chainId: number; readonly address: Address }
  readonly issuers: Readonly<Record<string, Address>>
  readonly outside: Readonly<Record<string, { readonly url?: string; readonly signer?: Address }>>
  /** Other token types that it reads. */
  readonly contracts?: Readonly<Record<string, Address>> | undefined
  /** Key of the contract's owner. */
  readonly privateKey: Hex
}

export type BuiltToken = {
  readonly text: string
  readonly bytes: Uint8Array
  readonly cid: string
  readonly scriptHash: Bytes32
  readonly signer: Address
}

/** Throws `script.declaration_invalid` and `script.nondeterministic` with file, line and column. */
export async function buildToken(options: BuildOptions): Promise<BuiltToken> {
  const source = resolve(options.source)
  const code = await bundleToken(source)
  const definition = ((await import(pathToFileURL(source).href)) as { default: TokenDefinition }).default
  const { issuers, outside, contracts, label, contract } = options
  const declaration = declarationOf(definition, { engineId: ENGINE_ID, issuers, outside, contracts })
  const unsigned = buildTokenScript({
    name: definition.type.replace(/(^|-)(\w)/g, (_, __, letter: string) => letter.toUpperCase()),
    label,
    contract: { ...contract, interface: 'erc721' },
    declaration,
    code,
  })
  const text = signTokenScript(unsigned, options.privateKey)
  const { scriptHash, signer } = verifyTokenScript(text)
  if (!parseTokenScript(text).service) throw SmartLayerError.of('script.no_service')
  const bytes = new TextEncoder().encode(text)
  return { text, bytes, cid: cidOf(bytes), scriptHash, signer }
}

/** One classic script that puts the definition to work inside the sandbox. */
async function bundleToken(source: string): Promise<string> {
  const imports = (path: string) => JSON.stringify(path)
  const entry = `import token from ${imports(source)}\nimport { install } from '@smartlayer/tokenscript/define'\ninstall(token)\n`
  try {
    const made = await build({
      stdin: { contents: entry, resolveDir: dirname(fileURLToPath(import.meta.url)), loader: 'ts' },
      bundle: true,
      write: false,
      format: 'iife',
      target: 'es2020',
      conditions: ['source'],
      minify: true,
      legalComments: 'none',
      logLevel: 'silent',
      plugins: [determinism(source)],
    })
    return made.outputFiles[0]!.text
  } catch (error) {
    throw located(error)
  }
}

/** Refuses what gives different results on different nodes, where it stands in the author's own files. */
function determinism(source: string) {
  const folder = dirname(source)
  return {
    name: 'determinism',
    setup(builder: import('esbuild').PluginBuild) {
      builder.onLoad({ filter: /\.[jt]s$/ }, async ({ path }) => {
        if (!path.startsWith(folder) || path.includes('node_modules')) return undefined
        const { readFile } = await import('node:fs/promises')
        const contents = await readFile(path, 'utf8')
        const errors = ambientUses(contents).map(({ line, column, name, instead, lineText }) => ({
          text: `${name} gives different results on different nodes; use ${instead}`,
          location: { file: path, line, column, lineText },
        }))
        return { contents, loader: 'ts', errors }
      })
    },
  }
}

function ambientUses(contents: string) {
  return contents.split('\n').flatMap((lineText, i) => {
    const code = lineText.replace(/\/\/.*$/, '').replace(/^\s*\*.*$/, '')
    return AMBIENT.flatMap(([pattern, name, instead]) => {
      const found = pattern.exec(code)
      return found ? [{ line: i + 1, column: found.index, name, instead, lineText }] : []
    })
  })
}

function located(error: unknown): Error {
  if (isSmartLayerError(error)) return error
  const first = (error as { errors?: Message[] }).errors?.[0]
  const place = first?.location ? `${first.location.file}:${first.location.line}:${first.location.column + 1}` : 'build'
  const ambient = /^(.+) gives different results on different nodes; use (.+)$/.exec(first?.text ?? '')
  if (ambient) return SmartLayerError.of('script.nondeterministic', { place, name: ambient[1]!, instead: ambient[2]! })
  return SmartLayerError.because(error, 'script.declaration_invalid', {
    at: place,
    detail: first?.text ?? String(error),
  })
}
