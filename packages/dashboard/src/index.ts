/** The Control Room's model, for tests and other views of the same data. */
export * from './model.ts'
export * from './streams.ts'
