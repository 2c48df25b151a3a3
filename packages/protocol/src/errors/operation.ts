/** Errors of running things: storage, chain, network, processes, configuration. */
import { entry } from './kind.ts'

export const operationErrors = {
  'bug.unexpected': entry<{ detail: string }>(
    'bug',
    (f) => `This should not happen: ${f.detail}.`,
    'Report it with the request id and the log around it.',
  ),
  'message.malformed': entry<{ at: string; expected: string }>(
    'invalid',
    (f) => `${f.at}: expected ${f.expected}.`,
    'Send the field in the form that the API reference names.',
  ),
  'message.too_large': entry<{ limit: number; what: string }>(
    'invalid',
    (f) => `${f.what} is larger than ${f.limit} bytes.`,
    'Send less, or refer to large content by its CID.',
  ),
  'queue.full': entry<{ queue: string; limit: number }>(
    'unavailable',
    (f) => `The queue "${f.queue}" holds its limit of ${f.limit}.`,
    'Wait and try again; the limit protects the node.',
  ),
  'store.failed': entry<{ operation: string }>(
    'unavailable',
    (f) => `The store could not ${f.operation}; nothing was acknowledged.`,
    'Check disk space and permissions of the data folder, then restart the node.',
  ),
  'store.full': entry<{ operation: string }>(
    'unavailable',
    (f) => `There is no room on the disk to ${f.operation}; nothing was written.`,
    'Free some space; the node takes it up again by itself.',
  ),
  'store.corrupt': entry<{ what: string }>(
    'fault',
    (f) => `${f.what} does not match its checksum.`,
    'The disk changed it. The node gets it again from other anchors; check the disk.',
  ),
  'chain.unreachable': entry<{ url: string }>(
    'unavailable',
    (f) => `No answer from the chain at ${f.url}.`,
    'Start the chain, or correct chain.url.',
  ),
  'chain.header': entry<{ block: string }>(
    'fault',
    (f) => `The header of block ${f.block} does not come to its hash.`,
    'Ask another RPC endpoint, or update: the chain may have new fields.',
  ),
  'chain.reverted': entry<{ call: string; reason: string }>(
    'conflict',
    (f) => `${f.call} was reverted: ${f.reason}.`,
    'Correct what the reason names and send it again.',
  ),
  'network.unreachable': entry<{ peer: string }>(
    'unavailable',
    (f) => `No connection to ${f.peer}.`,
    'Check that the node runs and that its registered endpoint is right.',
  ),
  'network.peer_unknown': entry<{ peer: string }>(
    'denied',
    (f) => `${f.peer} is not in the registry, or its key does not match.`,
    'Register and stake the node before it connects.',
  ),
  'config.invalid': entry<{ at: string; expected: string }>(
    'invalid',
    (f) => `Configuration ${f.at}: expected ${f.expected}.`,
    'See docs/configuration.md for every value and its default.',
  ),
  'process.failed': entry<{ what: string; detail: string }>(
    'unavailable',
    (f) => `${f.what} did not start: ${f.detail}.`,
    'Read its log, named above; a busy port is moved with --port-base.',
  ),
  'port.busy': entry<{ port: number; what: string }>(
    'unavailable',
    (f) => `Port ${f.port} (${f.what}) is in use by another program.`,
    'Stop that program or choose other ports with --port-base.',
  ),
  'cli.usage': entry<{ detail: string }>(
    'invalid',
    (f) => `The command line is not understood: ${f.detail}.`,
    'Run sl --help, or sl COMMAND --help, for every command with examples.',
  ),
  'file.unreadable': entry<{ path: string; reason: string }>(
    'missing',
    (f) => `${f.path} cannot be used: ${f.reason}.`,
    'Name an existing file that you may read.',
  ),
  'file.locked': entry<{ path: string; owner: string }>(
    'unavailable',
    (f) => `${f.path} is in use by ${f.owner}.`,
    'Wait until it ends. If it cannot be running any more, remove the .lock file beside it.',
  ),
  'file.bad_line': entry<{ path: string; line: number; problem: string; more: number }>(
    'invalid',
    (f) => `${f.path}, line ${f.line}: ${f.problem}${f.more ? `, and ${f.more} more` : ''}.`,
    'Correct these lines, or leave them out with --skip-bad.',
  ),
  'file.changed': entry<{ path: string; line: number }>(
    'conflict',
    (f) => `${f.path} is not what was published up to line ${f.line}.`,
    'Undo the change, or publish all of it anew with another --resume file.',
  ),
  'cli.stopped': entry<{ detail: string }>(
    'unavailable',
    (f) => `Stopped: ${f.detail}.`,
    'Run the same command again: it goes on where it stood.',
  ),
  'cli.ambiguous': entry<{ prefix: string; candidates: string }>(
    'invalid',
    (f) => `${f.prefix} is the beginning of several ids: ${f.candidates}.`,
    'Give more of its digits.',
  ),
  'platform.unsupported': entry<{ platform: string }>(
    'invalid',
    (f) => `Smart Layer does not run on ${f.platform} yet.`,
    'Use Linux on x64.',
  ),
} as const
