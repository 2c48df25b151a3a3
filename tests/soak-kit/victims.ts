/** What is done to the processes of a local network: killed, stopped for a while, started again. */
import type { LocalNetwork } from '@smartlayer/cli'
import { pause } from './chance.ts'

export class Victims {
  readonly #network: LocalNetwork
  readonly #stopped = new Set<string>()

  constructor(network: LocalNetwork) {
    this.#network = network
    // A stopped process hears no signal that asks it to end.
    process.on('exit', () => this.goOn())
  }

  async kill(name: string): Promise<void> {
    const node = this.#network.nodes.get(name)!
    this.goOn([name])
    node.signal('SIGKILL')
    while (node.running) await pause(5)
  }

  stop(name: string): void {
    this.#network.nodes.get(name)!.signal('SIGSTOP')
    this.#stopped.add(name)
  }

  /** Nothing stays stopped. */
  goOn(names: Iterable<string> = this.#stopped): void {
    for (const name of [...names]) {
      if (this.#stopped.delete(name)) this.#network.nodes.get(name)!.signal('SIGCONT')
    }
  }

  async restart(names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.#network.restart(name)))
  }

  /** Starts again whatever is down, whoever ended it. */
  async revive(): Promise<void> {
    await this.restart([...this.#network.nodes].filter(([, node]) => !node.running).map(([name]) => name))
  }
}
