/** Errors of token scripts: reading, checking, building and running them. */
import { entry } from './kind.ts'

export const scriptErrors = {
  'script.too_large': entry<{ bytes: number; limit: number }>(
    'invalid',
    (f) => `The TokenScript has ${f.bytes} bytes; ${f.limit} are allowed.`,
    'Move large content out of the script and refer to it by CID.',
  ),
  'script.malformed': entry<{ line: number; column: number; detail: string }>(
    'invalid',
    (f) => `Line ${f.line}, column ${f.column}: ${f.detail}.`,
    'Correct the XML at that place.',
  ),
  'script.doctype': entry<{ line: number; column: number }>(
    'invalid',
    (f) => `Line ${f.line}, column ${f.column}: a document type declaration is not allowed.`,
    'Remove the DOCTYPE; inline what it includes.',
  ),
  'script.unsigned': entry(
    'denied',
    () => 'The TokenScript carries no signature.',
    'Sign it with sl token build, using the key that may speak for the contract.',
  ),
  'script.signature_invalid': entry<{ line: number; column: number; detail: string }>(
    'denied',
    (f) => `Line ${f.line}, column ${f.column}: the signature does not hold: ${f.detail}.`,
    'Get the file again from its issuer; it was changed after it was signed.',
  ),
  'script.signer_untrusted': entry<{ signer: string; contract: string }>(
    'denied',
    (f) => `The script was signed by ${f.signer}, who does not own contract ${f.contract}.`,
    'Sign with the owner key of the contract.',
  ),
  'script.hash_mismatch': entry<{ expected: string; actual: string }>(
    'denied',
    (f) => `The script has hash ${f.actual}; ${f.expected} is registered.`,
    'Publish this version, or fetch the registered one.',
  ),
  'script.no_service': entry(
    'invalid',
    () => 'The TokenScript has no sl:service part, so no node can run it.',
    'Build it with defineToken.',
  ),
  'script.declaration_invalid': entry<{ at: string; detail: string }>(
    'invalid',
    (f) => `${f.at}: ${f.detail}.`,
    'Correct the declaration; docs/spec/token.md lists every field.',
  ),
  'script.engine': entry<{ needed: string; have: string }>(
    'conflict',
    (f) => `The script was built for engine ${f.needed}; this node runs ${f.have}.`,
    'Build the script again with the tools of this network.',
  ),
  'script.not_found': entry<{ what: string }>(
    'missing',
    (f) => `No script found for ${f.what}.`,
    'Publish it with sl token publish.',
  ),
  'script.nondeterministic': entry<{ place: string; name: string; instead: string }>(
    'invalid',
    (f) => `${f.place}: ${f.name} gives different results on different nodes.`,
    'Use what the entry names instead: time, chance and the world enter as inputs.',
  ),
  'sandbox.out_of_gas': entry<{ limit: number }>(
    'invalid',
    (f) => `The handler used more than its ${f.limit} gas.`,
    'Do less per call, or declare a higher gas cap.',
  ),
  'sandbox.too_deep': entry(
    'invalid',
    () => 'The handler nested its calls too deeply.',
    'Replace deep recursion by a loop.',
  ),
  'sandbox.out_of_memory': entry(
    'invalid',
    () => 'The handler used more memory than a call may have.',
    'Keep state and intermediate values small.',
  ),
  'sandbox.threw': entry<{ message: string }>(
    'invalid',
    (f) => `The handler threw: ${f.message}.`,
    'Correct the handler and publish the token again.',
  ),
  'sandbox.output_invalid': entry<{ detail: string }>(
    'invalid',
    (f) => `The handler returned what its declaration does not allow: ${f.detail}.`,
    'Return a value of the declared shape.',
  ),
  'sandbox.unavailable': entry<{ detail: string }>(
    'unavailable',
    (f) => `The executor process did not answer: ${f.detail}.`,
    'The node restarts it by itself; try again.',
  ),
} as const
