#!/usr/bin/env node
// Lets forge use the WebAssembly compiler of the npm package `solc` instead of downloading a native one.
const fs = require('node:fs')
const path = require('node:path')
const solc = require('solc')

const argument = (name, otherwise) =>
  process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : otherwise

function read(base) {
  return (file) => {
    try {
      return { contents: fs.readFileSync(path.resolve(base, file), 'utf8') }
    } catch {
      return { error: `not found: ${file}` }
    }
  }
}

if (process.argv.includes('--version')) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`)
} else {
  fs.writeSync(1, solc.compile(fs.readFileSync(0, 'utf8'), { import: read(argument('--base-path', process.cwd())) }))
}
