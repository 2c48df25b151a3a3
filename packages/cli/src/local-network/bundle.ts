/** Bundles node and executor into one file each: a process then starts in a fraction of the time. */
import { mkdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, type Plugin } from 'esbuild'

const ENGINE = createRequire(import.meta.url).resolve('quickjs-wasi/quickjs.wasm')
const packages = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..')

/** Packages in CommonJS ask for `require`; an ES module has to bring its own. */
const BANNER =
  "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);"

/** Paths of the node, the executor, and the engine file that the executor runs. */
export type Bundles = { readonly node: string; readonly executor: string; readonly engine: string }

/** Replaces text in source files while bundling: how a story plants a bug to see whether its checker finds it. */
export type Patch = { readonly file: RegExp; readonly find: string; readonly replace: string }

/** Writes the bundles into `folder` and returns their paths. */
export async function bundleNode(folder: string, patches: readonly Patch[] = []): Promise<Bundles> {
  mkdirSync(folder, { recursive: true })
  await build({
    entryPoints: {
      node: join(packages, 'node', 'src', 'main.ts'),
      executor: join(packages, 'enclave', 'src', 'executor', 'child.ts'),
    },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    conditions: ['source'],
    banner: { js: BANNER },
    minifySyntax: true,
    legalComments: 'none',
    sourcemap: false,
    logLevel: 'error',
    plugins: patches.length > 0 ? [patching(patches)] : [],
  })
  return { node: join(folder, 'node.mjs'), executor: join(folder, 'executor.mjs'), engine: ENGINE }
}

function patching(patches: readonly Patch[]): Plugin {
  return {
    name: 'patches',
    setup(builder) {
      for (const { file, find, replace } of patches) {
        builder.onLoad({ filter: file }, async ({ path }) => {
          const source = await readFile(path, 'utf8')
          if (!source.includes(find)) return { errors: [{ text: `nothing to patch: ${find}` }] }
          return { contents: source.replace(find, replace), loader: 'ts' }
        })
      }
    },
  }
}
