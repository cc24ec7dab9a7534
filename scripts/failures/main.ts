/**
 * The failures behind `npm run test:failures`; started by scripts/failures/run, in the lab.
 *
 *   main.js [--list] [NAME]...
 *
 * Exit status 1 when the mesh is not clean again after a failure, 2 for an unknown name.
 */
import { failures } from './failures.js'
import { details, markdown, type Row, unclean, worse } from './report.js'
import { Stage } from './stage.js'
import { patience, rate, Watch } from './watch.js'

const words = process.argv.slice(2)
const list = words.includes('--list')
const names = words.filter(word => word !== '--list')
const unknown = names.filter(name => !failures.some(failure => failure.name === name))
if (unknown.length > 0 || list) {
  for (const name of unknown) console.error(`failures: there is none called ${name}`)
  for (const { name, steps } of failures)
    console.log(`${name.padEnd(16)}${steps.map(({ title }) => title).join('; ')}`)
  process.exit(unknown.length > 0 ? 2 : 0)
}

const started = performance.now()
function say(text: string): void {
  console.error(`${((performance.now() - started) / 1000).toFixed(0).padStart(4)} s  ${text}`)
}

const rows: Row[] = []
const remarks: string[] = []
let stopped = ''
try {
  const stage = await Stage.up(say)
  for (const { name, entries, steps } of failures) {
    if (names.length > 0 && !names.includes(name)) continue
    const nodes = entries === 'all' ? stage.nodes : stage.others
    for (const step of steps) {
      say(step.title)
      const watch = new Watch(nodes)
      await watch.steady()
      const began = performance.now()
      const remark = await step.act(stage)
      if (typeof remark === 'string') remarks.push(remark)
      await watch.until(began, step.limits)
      const row = { title: step.title, lasting: step.lasting ?? false, ...(await watch.end(began)) }
      rows.push(row)
      for (const line of markdown([row]).split('\n').slice(2)) say(line)
      for (const line of details(row.mesh)) say(`  mesh    ${line}`)
      for (const line of details(row.docker)) say(`  Docker  ${line}`)
    }
    say('until all is as before')
    for (const remark of await stage.clean()) remarks.push(`after ${name}: ${remark}`)
  }
} catch (error) {
  stopped = error instanceof Error ? error.message : String(error)
}

console.log(`\n${markdown(rows)}\n`)
console.log(
  `Each mesh gets ${rate} new connections a second through all nodes, or through those that do not fail; a client waits ${patience} s.\n`,
)
for (const remark of remarks) console.log(`- ${remark}`)
for (const { title } of worse(rows)) console.log(`- clients of the mesh lost more than Docker's: ${title}`)
for (const { title } of unclean(rows)) console.log(`- the mesh did not become clean: ${title}`)
if (stopped !== '') console.log(`- stopped: ${stopped}`)
process.exit(stopped !== '' || unclean(rows).length > 0 ? 1 : 0)
