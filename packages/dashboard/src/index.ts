/** The Control Room's model, for tests and other views of the same data. */
export * from './health.ts'
export * from './model.ts'
export * from './streams.ts'
