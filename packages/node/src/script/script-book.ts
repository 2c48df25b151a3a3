/** The TokenBook of real nodes: a script is found by its contract, and believed only by hash, signature and owner. */
import { type Address, type Bytes32, formatTokenRef, SmartLayerError, type TokenRef } from '@smartlayer/protocol'
import { cidOf, decodeTokenScript, parseIpfsUri, parseTokenScript, verifyTokenScript } from '@smartlayer/tokenscript'
import type { LoadedToken, LoadedType, TokenBook } from '../context.ts'
import type { Content } from '../ports/content.ts'
import type { Ports } from '../ports/ports.ts'
import { checkFact, type LoadedScript, loadedToken, typeRules } from './loaded-token.ts'

/** Scripts and tokens kept loaded. */
const SCRIPT_LIMIT = 1_000
const TOKEN_LIMIT = 100_000

export type ScriptBookOptions = { readonly chainId: bigint; readonly engineId: Bytes32 }

export class ScriptBook implements TokenBook {
  readonly #ports: Pick<Ports, 'chain' | 'sandbox' | 'identity' | 'telemetry'>
  readonly #content: Content
  readonly #options: ScriptBookOptions
  readonly #scripts = new Map<Address, Promise<LoadedScript>>()
  readonly #types = new Map<Address, LoadedType>()
  readonly #tokens = new Map<Bytes32, LoadedToken>()

  constructor(
    ports: Pick<Ports, 'chain' | 'sandbox' | 'identity' | 'telemetry'>,
    content: Content,
    options: ScriptBookOptions,
  ) {
    this.#ports = ports
    this.#content = content
    this.#options = options
  }

  byInstance(instance: Bytes32): LoadedToken | undefined {
    return this.#tokens.get(instance)
  }

  byContract(contract: Address): LoadedType | undefined {
    return this.#types.get(contract)
  }

  async loadType(contract: Address): Promise<LoadedType> {
    await this.#script(contract)
    return this.#types.get(contract)!
  }

  async load(ref: TokenRef): Promise<LoadedToken> {
    if (ref.chainId !== this.#options.chainId) throw SmartLayerError.of('token.unknown', { token: formatTokenRef(ref) })
    const script = await this.#script(ref.contract)
    const { keccak } = this.#ports.identity.crypto
    const token = loadedToken(script, ref, keccak)
    const known = this.#tokens.get(token.instance)
    if (known) return known
    const { owner } = await this.#ports.chain.ownerOf(ref)
    if (owner === undefined) throw SmartLayerError.of('token.unknown', { token: formatTokenRef(ref) })
    if (this.#tokens.size >= TOKEN_LIMIT)
      throw SmartLayerError.of('queue.full', { queue: 'tokens', limit: TOKEN_LIMIT })
    this.#tokens.set(token.instance, token)
    return token
  }

  /** Loads a contract's script once, however often it is asked for; a failure is not remembered. */
  #script(contract: Address): Promise<LoadedScript> {
    const known = this.#scripts.get(contract)
    if (known) return known
    if (this.#scripts.size >= SCRIPT_LIMIT)
      throw SmartLayerError.of('queue.full', { queue: 'scripts', limit: SCRIPT_LIMIT })
    const made = this.#fetch(contract)
    this.#scripts.set(contract, made)
    made.catch(() => this.#scripts.delete(contract))
    return made
  }

  async #fetch(contract: Address): Promise<LoadedScript> {
    const registration = await this.#ports.chain.registration(contract)
    if (!registration) throw SmartLayerError.of('token.unknown', { token: contract })
    const cid = parseIpfsUri(registration.scriptUri)?.cid
    const bytes = cid === undefined ? undefined : await this.#content.get(cid)
    if (!bytes || cidOf(bytes) !== cid) throw SmartLayerError.of('script.not_found', { what: registration.scriptUri })
    const text = decodeTokenScript(bytes)
    const { signer, scriptHash } = verifyTokenScript(text)
    const { scriptHash: expected, owner } = registration
    if (scriptHash !== expected) throw SmartLayerError.of('script.hash_mismatch', { expected, actual: scriptHash })
    if (signer !== owner) throw SmartLayerError.of('script.signer_untrusted', { signer, contract })
    const { service } = parseTokenScript(text)
    if (!service) throw SmartLayerError.of('script.no_service')
    const { declaration } = service
    if (declaration.engineId !== this.#options.engineId) {
      throw SmartLayerError.of('script.engine', { needed: declaration.engineId, have: this.#options.engineId })
    }
    await this.#ports.sandbox.load(scriptHash, service.code)
    const script: LoadedScript = { contract, chainId: this.#options.chainId, scriptHash, declaration, owner }
    const { keccak } = this.#ports.identity.crypto
    this.#types.set(contract, {
      contract,
      rules: typeRules(script, keccak),
      checkFact: (by, body) => checkFact(script, by, { body, keccak }),
    })
    this.#ports.telemetry.log('info', 'script.loaded', { contract, scriptHash, type: declaration.type })
    return script
  }
}
