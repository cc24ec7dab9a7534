/**
 * The churn of a large mesh: a process of its own that changes so many containers a second,
 * each from ready to unhealthy or back; started by scale.ts.
 *
 *   scale-writer.js ENDPOINT RATE SECONDS NODES SERVICES EACH
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { EtcdClient } from '../../src/store/etcd-client.js'
import { putContainer, type World } from './scale-world.js'

const [endpoint = '', ...numbers] = process.argv.slice(2)
const [rate = 0, seconds = 0, nodes = 0, services = 0, each = 0] = numbers.map(Number)
const world: World = { nodes, services, each }
/** Milliseconds between two transactions: few enough that etcd is not what is measured. */
const gap = 20
/** Nodes that take part: those of about one second. */
const span = Math.min(nodes - 1, rate)

const client = new EtcdClient({
  endpoints: [endpoint],
  tls: { ca: null, cert: null, key: null },
  user: null,
  passwordFile: null,
})
const began = performance.now()
let written = 0
let late = 0
while (performance.now() - began < seconds * 1000) {
  const due = Math.min(rate, Math.floor(((performance.now() - began) / 1000) * rate) - written)
  const operations = Array.from({ length: Math.max(0, due) }, () => {
    const change = written++
    // Each of some nodes in turn; what has become unhealthy is ready again in the turn after.
    const turn = Math.floor(change / span)
    const number = 2 + ((change * 7919) % span)
    return putContainer(world, number, (turn >> 1) % each, turn % 2 === 0 ? 'unhealthy' : 'ready')
  })
  if (operations.length > 0) await client.transact([], operations)
  const rest = gap - ((performance.now() - began) % gap)
  late += rest < 0 ? 1 : 0
  await sleep(rest)
}
client.close()
console.log(JSON.stringify({ written, seconds: (performance.now() - began) / 1000, late }))
