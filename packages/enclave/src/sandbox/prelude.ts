/** What every token image starts with: the names through which a script could see the machine it runs on are taken away. */

/**
 * Runs once in the base image. Clock, weak references and performance are left out of the engine as well; the float views
 * would show NaN bits, which differ between processors. The names stay `undefined` for good: no script can bring them back.
 */
export const PRELUDE = `(function () {
  'use strict'
  function remove(owner, name) {
    delete owner[name]
    Object.defineProperty(owner, name, { value: undefined, writable: false, enumerable: false, configurable: false })
  }
  var names = ['Date', 'WeakRef', 'FinalizationRegistry', 'performance', 'SharedArrayBuffer', 'Atomics', 'DataView',
    'Float16Array', 'Float32Array', 'Float64Array']
  for (var i = 0; i < names.length; i++) remove(globalThis, names[i])
  remove(Math, 'random')
})()`

/** The global that a script must set: `{ call(method: string, input: string): string }`, input and result being JSON texts. */
export const TOKEN_GLOBAL = 'smartToken'
export const TOKEN_CALL = 'call'
