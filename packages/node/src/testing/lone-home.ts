/** One token whose home is a single anchor, so that one signature decides: for tests of what a service node does. */
import {
  type Bytes32,
  domainOf,
  homesOver,
  instanceOf,
  LOCAL_DIRECTORY,
  type Membership,
  nobleCrypto,
  nobleSigner,
  type TokenRules,
  tokenOf,
  ZERO_32,
} from '@smartlayer/protocol'
import { TEST } from '@smartlayer/protocol/testing'
import { LOCAL_PARAMETERS, type LoadedToken, type NodeContext } from '../context.ts'

const { keccak } = nobleCrypto
const REF = { chainId: 1n, contract: TEST.contract, tokenId: 7n }
const TOKEN = tokenOf(REF, keccak)
const SCRIPT: Bytes32 = `0x${'5c'.repeat(32)}`

export const ANCHOR = nobleSigner(`0x${'0a'.repeat(32)}`)
export const NODE = nobleSigner(`0x${'0b'.repeat(32)}`)
export const INSTANCE = instanceOf(TOKEN, SCRIPT, keccak)
export const DOMAIN = domainOf(
  { name: 'SmartLayer', version: '1', chainId: 1n, verifyingContract: TEST.registry },
  keccak,
)

const MEMBERSHIP: Membership = {
  epoch: 1n,
  beacon: ZERO_32,
  earlierBeacons: [],
  directory: { ...LOCAL_DIRECTORY, shardCount: 16, homeSize: 31 },
  members: [
    {
      node: ANCHOR.address,
      role: 'anchor',
      transportKey: ZERO_32,
      overlay: '',
      api: '',
      operator: ZERO_32,
      platform: ZERO_32,
      stake: 1n,
    },
  ],
}

const HOMES = homesOver([MEMBERSHIP], keccak)

/** What `NODE` knows of its network. */
export const CONTEXT = {
  networkId: TEST.networkId,
  domain: DOMAIN,
  easDomain: TEST.easDomain,
  parameters: LOCAL_PARAMETERS,
  membership: () => MEMBERSHIP,
  homes: () => HOMES,
} as unknown as NodeContext

export function loneToken(inputs: TokenRules['inputs'] = {}): LoadedToken {
  return {
    ref: REF,
    token: TOKEN,
    instance: INSTANCE,
    rules: { token: TOKEN, tokenType: TEST.tokenType, scriptHash: SCRIPT, inputs, actions: {}, effects: {} },
    engine: ZERO_32,
    gas: { query: 1n, update: 1n, load: 1n },
    checkBody: () => undefined,
    queryScope: () => undefined,
    effectTarget: () => undefined,
    timeoutMs: () => 1,
    checkRequest: () => ({ method: 'POST', path: '/', json: {} }),
  }
}
