// Usage: node validate.mjs FILE. One line per fault on standard output; exit 1 if there is any.
// Not a fault: that a newer AsyncAPI than 3.0 exists.
import { Parser, fromFile } from '@asyncapi/parser'

const tolerated = new Set(['asyncapi-latest-version'])
const { diagnostics } = await fromFile(new Parser(), process.argv[2]).parse()
const faults = diagnostics.filter(({ code }) => !tolerated.has(code))
for (const { code, path, message } of faults) console.log(`${path.join('.')}: ${message} (${code})`)
process.exitCode = faults.length > 0 ? 1 : 0
