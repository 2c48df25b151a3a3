/** `sl` and `smartlayer`: runs one command line and ends with its exit code. */
import { runCommand } from './program.ts'

process.exitCode = await runCommand(process.argv.slice(2))
