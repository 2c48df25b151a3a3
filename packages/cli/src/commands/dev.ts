/** `sl dev`: a whole network on this machine with its Control Room, until Ctrl-C. */
import type { Command } from 'commander'
import { define } from '../command-line/options.ts'
import { Gateway } from '../local-network/gateway.ts'
import { LocalNetwork, resetNetwork } from '../local-network/local-network.ts'

export function addDev(program: Command): void {
  const command = program
    .command('dev')
    .description('run a local network with its Control Room until Ctrl-C')
    .option('--reset', 'begin anew instead of resuming', false)
  define<{ reset: boolean }>(command, ['dev', 'dev --reset --port-base 17700'], async ({ options, output }) => {
    const { folder, portBase, reset } = options
    const stopped = new Promise<void>((resolve) => {
      process.once('SIGINT', resolve)
      process.once('SIGTERM', resolve)
    })
    if (reset) resetNetwork(folder)
    const network = await LocalNetwork.start({ folder, portBase, progress: output.progress })
    try {
      const gateway = await Gateway.start(network)
      const { nodes, controlPort } = network.layout
      const controlRoom = `http://control.localhost:${controlPort}`
      const urls = nodes.map(({ name, api }) => ({ name, api }))
      output.data({ controlRoom, chain: network.chain.url, nodes: urls }, [
        `Control Room  ${controlRoom}`,
        `chain         ${network.chain.url}`,
        ...urls.map(({ name, api }) => `${name.padEnd(12)}  ${api}`),
      ])
      output.progress('ready', 'Ctrl-C stops everything')
      await stopped
      await gateway.close()
    } finally {
      await network.stop()
    }
    output.progress('stopped', `all state is kept in ${folder}`)
  })
}
