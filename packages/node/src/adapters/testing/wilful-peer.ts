/** For tests: a registered peer behind real TLS that answers pings and reads only while it wants to. */
import { createServer, type Server, type TLSSocket } from 'node:tls'
import type { Bytes32 } from '@smartlayer/protocol'
import { FrameReader, PING } from '../frames.ts'
import { spkiOf, transportKeyOf } from '../transport-identity.ts'
import type { TlsNode } from './tls-world.ts'

export class WilfulPeer {
  readonly received: { n: number }[] = []
  /** The keys that callers presented, in the order of their calls. */
  readonly callers: Bytes32[] = []
  reading = true
  readonly #server: Server
  readonly #sockets = new Set<TLSSocket>()

  constructor({ port, transport: { key, certificate: cert } }: TlsNode) {
    this.#server = createServer({ key, cert, requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.3' })
    this.#server.on('secureConnection', (socket) => {
      this.#sockets.add(socket)
      this.callers.push(transportKeyOf(spkiOf(socket.getPeerX509Certificate()!)))
      socket.on('error', () => socket.destroy())
      socket.on('close', () => this.#sockets.delete(socket))
      const reader = new FrameReader((body) => {
        if (body.length > 0) this.received.push(JSON.parse(body.toString('utf8')))
        else socket.write(PING)
        return true
      })
      socket.on('data', (chunk) => {
        reader.push(chunk)
        if (!this.reading) socket.pause()
      })
    })
    this.#server.listen(port, '127.0.0.1')
  }

  stopReading(): void {
    this.reading = false
    for (const socket of this.#sockets) socket.pause()
  }

  readAgain(): void {
    this.reading = true
    for (const socket of this.#sockets) socket.resume()
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
