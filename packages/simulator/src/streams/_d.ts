import { plant } from '../plant.ts'
plant({ name: 'dbg', edits: [{ file: 'packages/node/src/stream/stream-service.ts', find: `    const entries = proven ?? opened
`, replace: `    const entries = proven ?? opened
    if (process.env.DBG) console.log('DBG', this.#ports.clock.monotonic().toFixed(0), this.#self.slice(0,8), stream.slice(0,8), 'from', from.slice(0,8), 'opened', opened.length, opened[0]?.data.sequence, 'proven', proven?.length, 'items', items.length, 'cert', certificate?.receipt.sequence, certificate?.receipt.uid.slice(0,8), opened.map(e=>e.uid.slice(0,8)).join(), 'state', this.#streams.state(stream).sequence)
` }] })
const { simulateStreams } = await import('./run.ts')
const r = await simulateStreams({ from: Number(process.argv[2]), seeds: 1, planted: true, onEvent: (l) => console.log(l) })
console.log(r.seeds[0]!.violation)
