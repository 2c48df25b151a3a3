/** Hostile programs and determinism probes, with how each must end: what every change to the engine is tried against. */

/** A token that evaluates the code it is given; `reducer` stands for honest work between attacks. */
export const PROBE_TOKEN = `
globalThis.smartToken = {
  call(method, input) {
    if (method === 'reducer') {
      const { items } = JSON.parse(input)
      return JSON.stringify({ total: items.reduce((sum, item) => sum + item.price * item.count, 0) })
    }
    return String((0, eval)(JSON.parse(input)))
  },
}`

export type Ending = 'ok' | 'threw' | 'outOfGas' | 'tooDeep' | 'outOfMemory'
export type Attack = readonly [name: string, ending: Ending, code: string]

const lists = (call: string) => `Array.prototype.${call}`

export const attacks: readonly Attack[] = [
  // loops
  ['endless loop', 'outOfGas', 'for (;;);'],
  ['endless loop that catches', 'outOfGas', 'for (;;) { try { for (;;); } catch {} }'],
  ['endless loop in finally', 'outOfGas', 'try { for (;;); } finally { for (;;); }'],
  ['iterator without end', 'outOfGas', '[...{ [Symbol.iterator]: () => ({ next: () => ({ done: false }) }) }].length'],
  ['getter loop in a proxy', 'outOfGas', 'const p = new Proxy({}, { get() { for (;;); } }); p.x'],
  ['labelled loops', 'outOfGas', 'a: for (;;) { b: for (;;) { continue a } }'],
  ['eval of large sources', 'outOfGas', 'for (;;) eval("1;".repeat(1e5))'],
  ['Function constructor in a loop', 'outOfGas', 'for (;;) new Function("return 1")()'],
  // memory
  ['array bomb', 'outOfMemory', 'const a = []; for (;;) a.push(new Array(10_000).fill(a.length))'],
  ['one huge buffer', 'outOfMemory', 'new ArrayBuffer(1e9).byteLength'],
  ['many buffers', 'outOfMemory', 'const a = []; for (;;) a.push(new Uint8Array(65536).fill(1))'],
  ['string doubling', 'threw', 'let s = "x"; for (;;) s += s'],
  ['huge repeat', 'outOfMemory', '"x".repeat(2 ** 29 - 1).length'],
  ['huge padding', 'outOfMemory', '"".padEnd(2 ** 28, "ab").length'],
  [
    'rope flattened again and again',
    'outOfGas',
    'let s = ""; for (let i = 0; ; i++) { s += "abcdefgh"; if (i % 1000 === 0) s.indexOf("z") }',
  ],
  ['symbol flood', 'outOfGas', 'const o = {}; for (let i = 0; ; i++) o["k" + i] = Symbol(i)'],
  [
    'closures without end',
    'outOfMemory',
    'const f = []; for (let i = 0; ; i++) { const s = new Array(500).fill(i); f.push(() => s) }',
  ],
  ['split and join', 'outOfMemory', '"a".repeat(1e6).split("").join(",").length'],
  ['large map', 'outOfGas', 'const m = new Map(); for (let i = 0; ; i++) m.set(i, i)'],
  // nesting
  ['recursion', 'tooDeep', 'function f(n) { return f(n + 1) + 1 } f(0)'],
  ['recursion that is caught and tried again', 'outOfGas', 'function f() { try { f() } catch { f() } } f()'],
  ['recursive toString', 'tooDeep', 'const o = { toString() { return "" + o } }; "" + o'],
  ['recursive getter', 'tooDeep', 'const o = { get x() { return this.x } }; o.x'],
  ['chain of proxies', 'threw', 'let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.x'],
  ['nested JSON', 'tooDeep', 'JSON.parse("[".repeat(1e5))'],
  ['nested source', 'tooDeep', 'eval("(".repeat(1e5))'],
  ['nested pattern', 'threw', 'new RegExp("(".repeat(1e4) + ")".repeat(1e4))'],
  ['recursive comparator', 'tooDeep', 'function f() { [2, 1].sort(f) } f()'],
  ['generator in itself', 'tooDeep', 'function* g() { for (;;) yield* g() } for (const x of g());'],
  // builtins that work long without calling back
  ['indexOf over 2^53', 'outOfGas', `${lists('indexOf')}.call({ length: 2 ** 53 - 1 }, 1)`],
  ['lastIndexOf over 2^53', 'outOfGas', `${lists('lastIndexOf')}.call({ length: 2 ** 53 - 1 }, 1)`],
  ['includes over 2^53', 'outOfGas', `${lists('includes')}.call({ length: 2 ** 53 - 1 }, 1)`],
  ['copyWithin over 2^53', 'outOfGas', `${lists('copyWithin')}.call({ length: 2 ** 53 - 1 }, 0, 1)`],
  ['splice over 2^53', 'outOfGas', `${lists('splice')}.call({ length: 2 ** 53 - 1 }, 0, 1)`],
  ['fill over 2^53', 'outOfMemory', `${lists('fill')}.call({ length: 2 ** 53 - 1 }, 0)`],
  ['reverse of 2^40', 'outOfGas', `${lists('reverse')}.call({ length: 2 ** 40 })`],
  ['join of a sparse array', 'outOfGas', 'new Array(2 ** 32 - 1).join("").length'],
  ['concat of sparse arrays', 'outOfGas', '[].concat(new Array(2 ** 31), new Array(2 ** 31)).length'],
  ['Array.from of 2^32', 'outOfGas', 'Array.from({ length: 2 ** 32 - 1 }).length'],
  [
    'large sort',
    'outOfGas',
    'const a = []; for (let i = 0; i < 3e5; i++) a.push((i * 7919) % 300007); a.sort(); a.length',
  ],
  ['large typed sort', 'outOfGas', 'new Int32Array(1e6).map((x, i) => (i * 7919) % 200003).sort().length'],
  ['large stringify', 'outOfGas', 'const a = []; for (let i = 0; i < 3e5; i++) a.push(i); JSON.stringify(a).length'],
  ['replaceAll that grows', 'outOfGas', '"a".repeat(1e6).replaceAll("a", "b".repeat(1e3)).length'],
  ['normalisation', 'outOfGas', '"\\u0344".repeat(1e6).normalize("NFKD").length'],
  ['BigInt power', 'outOfGas', '(3n ** (2n ** 22n)).toString().length'],
  ['BigInt to text', 'outOfGas', '(7n ** 200000n).toString().length'],
  // patterns
  ['catastrophic pattern', 'outOfGas', '/^(a+)+$/.test("a".repeat(40) + "b")'],
  ['another catastrophic pattern', 'outOfGas', '/(x+x+)+y/.test("x".repeat(60))'],
  // promises
  ['promise flood', 'outOfGas', 'function f() { Promise.resolve().then(f); Promise.resolve().then(f) } f()'],
  ['endless async function', 'outOfGas', '(async () => { for (;;) await 0 })()'],
  // ways out
  ['Atomics.wait', 'threw', 'Atomics.wait(new Int32Array(8), 0, 0, 60000)'],
  ['process by the Function constructor', 'threw', '(function () {}).constructor("return process")()'],
  ['import()', 'ok', 'import("node:fs").then(() => { globalThis.out = 1 }); typeof out'],
  [
    'poisoned prototypes',
    'ok',
    'Object.prototype.toJSON = () => "x"; Array.prototype.reduce = () => 7; JSON.parse = null; 1',
  ],
  ['replaced token', 'ok', 'globalThis.smartToken = { call: () => "stolen" }; Object.freeze(globalThis); 1'],
]

/** Expressions whose value depends on the machine in other engines. */
export const probes: readonly string[] = [
  ...['Date', 'performance', 'Intl', 'WeakRef', 'FinalizationRegistry', 'SharedArrayBuffer', 'Atomics'].map(
    (n) => `typeof ${n}`,
  ),
  ...['DataView', 'Float16Array', 'Float32Array', 'Float64Array', 'Math.random', 'console'].map((n) => `typeof ${n}`),
  ...['setTimeout', 'process', 'require', 'std', 'os', 'scriptArgs', 'navigator', 'gc'].map((n) => `typeof ${n}`),
  'Date = class {}; typeof Date',
  'Object.getOwnPropertyNames(globalThis).sort().join()',
  '(1234567.891).toLocaleString()',
  '["z", "ä", "a", "A", "é"].sort((a, b) => a.localeCompare(b)).join()',
  '"I".toLocaleLowerCase() + "İ".toLowerCase() + "e\\u0301".normalize("NFC").length',
  '[0.1 + 0.2, 1e21, 1e-7, 5e-324, 1 / 3, 123456789012345680000, (25).toString(36), (0.1).toString(3)].join()',
  '[(1.005).toFixed(2), (1e21).toFixed(2), (1.45).toPrecision(2), (12345.678).toExponential(3)].join()',
  '["sin", "cos", "tan", "exp", "log", "cbrt", "sinh", "expm1", "log1p"].map((f) => Math[f](2.7)).join()',
  '[Math.pow(2.5, 3.7), Math.atan2(1, 3), Math.hypot(3, 4, 5)].join()',
  'Array.from({ length: 600 }, (_, i) => ({ k: i % 5, i })).sort((x, y) => x.k - y.k).map((x) => x.i).join()',
  'Array.from({ length: 100 }, (_, i) => i).sort(() => 1).join()',
  'Object.keys({ b: 1, 2: 1, a: 1, 1: 1 }).join() + JSON.stringify({ z: 1, 10: 2, 9: 3 })',
  'try { null.x } catch (e) { e.message + e.stack }',
  'try { missing } catch (e) { e.name + e.message }',
  'function d(n) { try { return d(n + 1) } catch { return n } } d(0)',
  '[10n ** 30n, -7n / 2n, BigInt.asUintN(64, -1n)].join()',
  '/(?<y>\\d+)/u.exec("a12").groups.y + "😀".length',
  'const order = []; Promise.resolve(1).then(() => order.push(1)); order.length',
  'new Function("a", "return a").toString()',
]
