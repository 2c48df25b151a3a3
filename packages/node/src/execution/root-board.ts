/** The latest roots that replicas signed, as an anchor sees them: for status pages, and to show a replica that differs. */
import type { Address, Bytes32 } from '@smartlayer/protocol'
import type { PostOffice } from '../wire/post-office.ts'

const INSTANCE_LIMIT = 100_000
const NODE_LIMIT = 64

export type Root = { readonly node: Address; readonly n: bigint; readonly root: Bytes32 }

export class RootBoard {
  readonly #roots = new Map<Bytes32, Map<Address, Root>>()

  /** The connection proves who says it; the signature matters only to those who pass a root on. */
  constructor(post: PostOffice) {
    post.on('executed', (from, { executed }) => {
      this.#note(executed.instance, { node: from, n: executed.n, root: executed.root })
    })
  }

  of(instance: Bytes32): readonly Root[] {
    return [...(this.#roots.get(instance)?.values() ?? [])]
  }

  #note(instance: Bytes32, root: Root): void {
    const roots = this.#roots.get(instance) ?? new Map<Address, Root>()
    if (!this.#roots.has(instance) && this.#roots.size >= INSTANCE_LIMIT) return
    if (!roots.has(root.node) && roots.size >= NODE_LIMIT) return
    if ((roots.get(root.node)?.n ?? -1n) < root.n) roots.set(root.node, root)
    this.#roots.set(instance, roots)
  }
}
