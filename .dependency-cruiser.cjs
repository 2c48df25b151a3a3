// The architecture as a test: which package may import which, and no cycles, type imports included.
const production = (path) => ({ path, pathNot: '\\.(test|contract)\\.ts$' })
module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'core-does-no-io',
      severity: 'error',
      from: production('^packages/(protocol|tokenscript)/src'),
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'protocol-is-the-bottom',
      severity: 'error',
      from: production('^packages/protocol/src'),
      to: { path: '^packages/(?!protocol)' },
    },
    {
      name: 'tokenscript-on-protocol',
      severity: 'error',
      from: production('^packages/tokenscript/src'),
      to: { path: '^packages/(?!tokenscript|protocol)' },
    },
    {
      name: 'enclave-on-core',
      severity: 'error',
      from: production('^packages/enclave/src'),
      to: { path: '^packages/(?!enclave|tokenscript|protocol)' },
    },
    {
      name: 'roles-do-not-see-adapters',
      severity: 'error',
      from: production('^packages/node/src/(?!adapters|testing|main\\.ts|index\\.ts)'),
      to: { path: '^packages/node/src/adapters' },
    },
    {
      name: 'sdk-is-light',
      severity: 'error',
      from: production('^packages/sdk/src'),
      to: { path: '^packages/(?!sdk|protocol)' },
    },
    {
      name: 'sdk-browser-has-no-node',
      severity: 'error',
      from: production('^packages/sdk/src/(?!server)'),
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'dashboard-is-a-thin-client',
      severity: 'error',
      from: production('^packages/dashboard/src'),
      to: { path: '^packages/(?!dashboard|sdk|protocol)' },
    },
    {
      name: 'nobody-imports-cli',
      severity: 'error',
      from: production('^packages/(?!cli)'),
      to: { path: '^packages/cli' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      conditionNames: ['source', 'import', 'default'],
      exportsFields: ['exports'],
      extensions: ['.ts', '.tsx', '.js'],
    },
  },
}
