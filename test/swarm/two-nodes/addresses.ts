/**
 * A stack of services on two nodes, each on a Docker network of its own, so that Docker
 * tells none of them about another: three find and reach each other by the mesh, and one
 * is no part of it but calls.
 */
import { writeFileSync } from 'node:fs'
import type { Test } from 'tap'
import { type Answer, parseAnswer } from '../../helpers/clients.js'
import { type Finished, must, type Node, run } from '../../helpers/lab.js'
import type { SwarmMesh } from '../../helpers/swarm-mesh.js'
import { waitFor } from '../../helpers/wait.js'

const service = (name: string, more: string) => `
  ${name}:
    image: mesh-test:1
    command: [web]
    dns: [10.253.0.1]
    dns_search: [mesh]
    networks: [${name}]
    deploy:${more}`
const stack = `
version: "3.8"
services:${service(
  'front',
  `
      placement: { constraints: [node.hostname == node1] }
      labels: { mesh.port: "80", mesh.alias: front }`,
)}${service(
  'api',
  `
      replicas: 2
      placement: { max_replicas_per_node: 1 }
      labels: { mesh.port: "8080:80", mesh.alias: api }`,
)}${service(
  'db',
  `
      placement: { constraints: [node.hostname == node2] }
      labels: { mesh.port: "80", mesh.alias: db, mesh.endpoint-mode: dnsrr }`,
)}${service(
  'guest',
  `
      placement: { constraints: [node.hostname == node1] }
      labels: { mesh.scope: team }`,
)}
networks: { front: {}, api: {}, db: {}, guest: {} }
`

/** The first container of a service on a node. */
async function containerOf(node: Node, name: string): Promise<string> {
  const all = await node.docker.call<{ Id: string; Labels: Record<string, string> }[]>(
    'GET',
    '/containers/json',
  )
  const found = all.find(({ Labels }) => Labels['com.docker.swarm.service.name'] === `shop_${name}`)
  if (!found) throw new Error(`${name} has no container on ${node.name}`)
  return found.Id
}

/** Runs a program of a service's container, by the container's own resolv.conf. */
async function inside(node: Node, name: string, ...argv: string[]): Promise<string> {
  return must(['scripts/nodes', 'cli', node.name, 'exec', await containerOf(node, name), ...argv])
}

/**
 * curl as a program of a service's container: in its network, with its resolv.conf. (Of the
 * image's own programs none finds names as libc does.)
 */
async function curl(node: Node, name: string, url: string): Promise<Finished> {
  const { State } = await node.docker.inspect(await containerOf(node, name))
  const proc = `/proc/${node.pid}/root/proc/${State.Pid}`
  const script =
    'file=$(mktemp) && cat "$0/root/etc/resolv.conf" >$file && mount --bind $file /etc/resolv.conf && ' +
    'exec nsenter "--net=$0/ns/net" curl -sS -m 10 "$1"'
  return run(['unshare', '--mount', 'sh', '-c', script, proc, url])
}

async function get(node: Node, name: string, url: string): Promise<Answer> {
  const { status, stdout, stderr } = await curl(node, name, url)
  if (status !== 0) throw new Error(`${url} from ${name} on ${node.name}: ${stderr}`)
  return parseAnswer(stdout)
}

export async function addresses(t: Test, swarm: SwarmMesh): Promise<void> {
  const [one, two] = swarm.nodes as [Node, Node]
  t.teardown(() => swarm.removeServices('shop_front', 'shop_api', 'shop_db', 'shop_guest'))

  t.test('the stack comes up, and each of its services has names', async t => {
    writeFileSync('/tmp/shop.yml', stack)
    const deploy = ['stack', 'deploy', '--resolve-image', 'never', '-c', '/tmp/shop.yml', 'shop']
    await must(['scripts/nodes', 'cli', one.name, ...deploy])
    for (const [name, count] of Object.entries({ front: 1, api: 2, db: 1 }))
      await one.tasks(`shop_${name}`, count, 240)
    for (const node of swarm.nodes)
      for (const [name, count] of Object.entries({ front: 1, api: 2, db: 1 }))
        await waitFor(
          async () => {
            const { vipEndpoints } = await swarm.of(node).client.inspect(`shop_${name}`)
            return vipEndpoints.filter(({ state }) => state === 'ready').length === count
          },
          `${count} ready endpoints of ${name} on ${node.name}`,
          60,
        )
    const { vip, names } = await swarm.of(two).client.inspect('shop_api')
    t.match(vip, /^10\.253\./)
    t.ok(names.includes('api.mesh'))
    t.equal((await swarm.of(two).client.inspect('shop_db')).vip, null, 'dnsrr')
  })

  t.test('one calls the next by its name, over both nodes, with its own address', async t => {
    const front = (await swarm.of(one).client.inspect('shop_front')).vipEndpoints[0]!.address
    const answers = [1, 2, 3, 4].map(() => get(one, 'front', 'http://api:8080/'))
    const seen = await Promise.all(answers)
    t.equal(new Set(seen.map(({ container }) => container)).size, 2, 'endpoints of both nodes answer')
    t.same([...new Set(seen.map(({ client }) => client))], [front], "they see the caller's mesh address")
    for (const node of swarm.nodes)
      t.ok(await get(node, 'api', 'http://db/'), `api calls db from ${node.name}`)
    t.ok(await get(two, 'db', 'http://front.mesh/'), 'a whole name')
  })

  t.test('names answer through Docker’s own resolver, and those of Docker still do', async t => {
    t.match(await inside(one, 'front', 'cat', '/etc/resolv.conf'), /nameserver 127\.0\.0\.11/)
    t.match(
      await inside(one, 'front', 'nslookup', 'tasks.api.mesh'),
      /10\.254\.0\.\d+[\s\S]*10\.254\.1\.\d+|10\.254\.1\.\d+[\s\S]*10\.254\.0\.\d+/,
    )
    t.match(await inside(one, 'front', 'nslookup', 'shop_front'), /Address/, 'Docker’s own name')
  })

  t.test('who has no such name hears of none, and of no other port', async t => {
    t.match((await curl(one, 'front', 'http://api:22/')).stderr, /\(7\) Failed to connect/, 'at once')
    t.match(
      (await curl(one, 'front', 'http://db:81/')).stderr,
      /\(7\) Failed/,
      'an endpoint’s other ports neither',
    )
    t.match((await curl(one, 'front', 'http://nobody.mesh/')).stderr, /not resolve/)
  })

  t.test('a scope alone makes the tasks of a service callers, and nothing else', async t => {
    await one.tasks('shop_guest', 1, 240)
    const { vip } = await swarm.of(one).client.inspect('shop_api')
    t.ok(await get(one, 'guest', 'http://api:8080/'), 'what has no scope is for all')
    await swarm.label('shop_api', { 'mesh.scope': 'team' })
    const curlUntil = (name: string, url: string, what: RegExp) =>
      waitFor(async () => what.test((await curl(one, name, url)).stderr), `${name}: ${url}: ${what}`, 60)
    await curlUntil('front', `http://${vip}:8080/`, /\(7\) Failed to connect/)
    await curlUntil('front', 'http://api:8080/', /not resolve/)
    t.ok(await get(one, 'guest', 'http://api:8080/'))
    t.ok(await get(one, 'guest', `http://${vip}:8080/`))
    await swarm.label('shop_guest', { 'mesh.scope': null })
    await curlUntil('guest', `http://${vip}:8080/`, /\(7\) Failed to connect/)
    t.notOk((await swarm.of(one).client.list()).some(({ name }) => name === 'shop_guest'))
  })
}
