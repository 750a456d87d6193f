// Usage: node validate.mjs FILE... One line of JSON for each file: a list of its faults, empty if there are none.
// Not a fault: that a newer AsyncAPI than 3.0 exists.
import { Parser, fromFile } from '@asyncapi/parser'

const tolerated = new Set(['asyncapi-latest-version'])
for (const file of process.argv.slice(2)) {
  const { diagnostics } = await fromFile(new Parser(), file).parse()
  const faults = diagnostics.filter(({ code }) => !tolerated.has(code))
  console.log(JSON.stringify(faults.map(({ code, path, message }) => `${path.join('.')}: ${message} (${code})`)))
}
