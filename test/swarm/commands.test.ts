/**
 * The commands that look, and `apply` with files: meshctl on a real node, for people
 * and for programs.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { createClient } from '../../src/cli/client.js'
import { ask, askUdp } from '../helpers/clients.js'
import { composeLabels } from '../helpers/containers.js'
import { outside, startNodes } from '../helpers/lab.js'

const [node] = await startNodes(1)
if (!node) throw new Error('no node')
const { docker } = node
const mesh = createClient(`/proc/${node.pid}/root/run/mesh/mesh.sock`)
const url = (port: number) => `http://${node.address}:${port}/`
const short = (id: string) => id.slice(0, 12)
const solo = await docker.runContainer({ name: 'solo', command: ['web', '80', '8000-8009'] })
const shopWeb = await docker.runContainer({ name: 'shop-web-1', labels: composeLabels('shop', 'web') })
const shopDns = await docker.runContainer({
  name: 'shop-dns-1',
  labels: composeLabels('shop', 'dns'),
  command: ['web', '53'],
})
// Full passes so far apart that damage stays to be seen.
const agent = await node.startAgent('--resync', '300')
t.teardown(() => agent.kill('SIGTERM'))

t.test('ls lists what is published, and inspect shows one service by its name or port', async t => {
  t.match(await node.meshctl('ls'), {
    status: 0,
    stdout: 'nothing is published; try: meshctl publish 8888:80 SERVICE\n',
  })
  t.equal((await node.meshctl('publish', '8888:80', '5300:80/udp', 'solo')).status, 0)
  const listed = await node.meshctl('ls')
  t.match(
    listed.stdout,
    /^SERVICE +PORTS +VIP +READY +SCHEDULER +CONNECTIONS +FROM\nsolo +8888:80\/tcp, 5300:80\/udp +10\.253\.\d+\.\d+ +1\/1 +rr +0 +meshctl\n$/,
  )
  const [service] = await node.meshctlJson<unknown[]>('ls')
  t.match(service, {
    name: 'solo',
    ports: [
      { spec: '8888:80/tcp', fwmark: '0x122b8' },
      { spec: '5300:80/udp', fwmark: '0x214b4' },
    ],
    endpoints: [
      { container: 'solo', id: short(solo), port: 80, published: '8888/tcp', state: 'ready', weight: 1 },
      { container: 'solo', id: short(solo), port: 80, published: '5300/udp', state: 'ready', weight: 1 },
    ],
  })
  for (const subject of ['solo', '8888', '5300/udp']) {
    const { status, stdout } = await node.meshctl('inspect', subject)
    t.equal(status, 0)
    t.match(stdout, 'service    solo\n')
    t.match(stdout, new RegExp(`solo +${short(solo)} +10\\.254\\.0\\.\\d+:80 +8888/tcp +ready +1 +0 +0`))
  }
  t.match(await node.meshctl('inspect', '8889'), { status: 1, stderr: /port "8889": not published/ })
})

t.test('a service may have an address and a name in the mesh, and be published or not', async t => {
  const create = ['service', 'create', 'inner', '--selector', 'mesh.container=solo', '--port', '8080:80']
  t.match(await node.meshctl(...create, '--ip', '10.253.1.3', '--alias', 'back', '--persist', '600s'), {
    status: 0,
    stdout: 'inner answers at 10.253.1.3 on 8080:80/tcp as inner.mesh, back.mesh; 1 of 1 endpoints ready\n',
    stderr: '',
  })
  const ports = { vipPorts: ['80'] }
  await t.rejects(mesh.createService('inner', ports), {
    message: /^service "inner": there is one of this name/,
  })
  await t.rejects(mesh.createService('thief', { ...ports, vip: '10.253.1.3' }), {
    code: 'MESH_VIP_TAKEN',
    message: /^give thief the VIP 10\.253\.1\.3: service inner has it/,
  })
  const { service } = await mesh.setService('inner', { scopes: ['team-a'], weights: ['tier=front:5'] })
  t.match(service, {
    vip: '10.253.1.3',
    scopes: ['team-a'],
    weights: ['tier=front:5'],
    scheduler: 'wrr',
    aliases: ['back'],
    persistence: 600,
    vipEndpoints: [{ container: 'solo', state: 'ready' }],
  })
  t.match(
    (await node.meshctl('service', 'ls')).stdout,
    /^inner +10\.253\.1\.3 +8080:80\/tcp +inner\.mesh, back\.mesh +team-a +1\/1 +meshctl\n/m,
  )
  await mesh.publish({ service: 'inner', ports: ['8890:80'] }, 60)
  t.match(await ask(url(8890)), { container: short(solo), client: outside })
  await t.rejects(mesh.removeService('inner', {}), { message: /it is published on 8890:80\/tcp; unpublish/ })
  t.match(await mesh.unpublish('8890', 'inner'), { service: { vip: '10.253.1.3', ports: [] } }, 'it stays')
  t.match(await node.meshctl('service', 'rm', 'inner'), {
    status: 0,
    stdout: 'inner is removed; 10.253.1.3 is free again\n',
  })
  await t.rejects(mesh.setService('inner', { drain: '1s' }), { code: 'MESH_NOT_FOUND' })
})

t.test('status says that all is well, and counts', async t => {
  const { status, stdout } = await node.meshctl('status')
  t.equal(status, 0)
  t.match(
    stdout,
    /^node +node1\nversion .*\nrunning .*\nhealth +healthy\nservices +1 on 2 ports\nendpoints 1 ready of 1, /,
  )
  t.match(await node.meshctlJson('status'), {
    healthy: true,
    counts: { services: 1, ports: 2, endpoints: 1, ready: 1 },
    sources: [{ state: 'ready' }, { name: 'docker', state: 'ready' }],
  })
})

t.test('plan tells what a pass would change, and changes nothing', async t => {
  t.match(await node.meshctl('plan'), {
    status: 0,
    stdout: 'nothing to change: the kernel holds what the mesh wants\n',
  })
  await node.must('ipset', 'del', 'mesh-tcp', '8888')
  for (let i = 0; i < 2; i++)
    t.match(await node.meshctl('plan'), {
      status: 0,
      stdout: /^WHERE +CHANGE\nhost +ipset add mesh-tcp 8888\n$/,
    })
  t.same(await node.meshctlJson('plan'), [
    { type: 'add', kind: 'entry', place: 'host', text: 'ipset add mesh-tcp 8888' },
  ])
  await node.must('ipset', 'add', 'mesh-tcp', '8888')
  t.same(await mesh.plan(), [])
})

t.test('version names both versions; without an agent only its own', async t => {
  t.match(await node.meshctl('version'), { status: 0, stdout: /^meshctl ([\d.]+)\nmeshd \1 on node1\n$/ })
  t.match(await node.meshctl('version', '--socket', '/run/none.sock'), {
    status: 0,
    stdout: 'meshd not reachable on /run/none.sock\n',
  })
})

t.test('completion completes commands, and services the agent knows', async t => {
  const script = `
    PATH=$PATH:/run/bin
    mkdir -p /run/bin && ln -sf $PWD/dist/src/cli/meshctl.js /run/bin/meshctl
    source <(meshctl completion bash)
    complete_() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _meshctl; echo "\${COMPREPLY[@]}"; }
    complete_ meshctl unp
    complete_ meshctl inspect so`
  t.equal(await node.must('bash', '-c', script), 'unpublish\nsolo\n')
})

// The working directory is the lab's own and the machine's; /tmp is the lab's alone.
const write = (path: string, text: string) => {
  mkdirSync('/tmp/shop', { recursive: true })
  writeFileSync(path, text)
}

t.test('apply publishes what a mesh file says, and says what it changed', async t => {
  const file = '/tmp/shop/mesh.yaml'
  write(
    file,
    'services:\n  front:\n    ports: ["8201:80", "8000-8009:8000-8009"]\n    selector: {mesh.container: solo}\n    scheduler: lc\n    drain: 1m\n  outer:\n    ports: ["8202:80"]\n    endpoints: ["192.168.77.254:9"]\n',
  )
  t.match(await node.meshctl('apply', '-f', file), {
    status: 0,
    stdout:
      /^SERVICE +RESULT +PORTS +VIP\nfront +created +8201:80\/tcp, 8000-8009:8000-8009\/tcp +10\.253\.[\d.]+\nouter +created +8202:80\/tcp +10\.253\.[\d.]+\n$/,
    stderr: '',
  })
  t.match(await ask(url(8201)), { container: short(solo), client: outside })
  t.match(await ask(url(8007)), { container: short(solo), port: 8007 })
  t.match(await mesh.inspect('front'), { scheduler: 'lc', drain: 60 })
  write(
    file,
    'services:\n  front:\n    ports: ["8203:80"]\n    selector: {mesh.container: solo}\n  outer:\n    ports: ["8202:80"]\n    endpoints: ["192.168.77.254:9"]\n',
  )
  t.match(await node.meshctlJson('apply', '-f', file), [
    { name: 'front', result: 'changed', ports: ['8203:80/tcp'] },
    { name: 'outer', result: 'unchanged' },
  ])
  t.match(await ask(url(8203)), { container: short(solo) })
  await t.rejects(ask(url(8201)), { code: 'ECONNREFUSED' }, 'what the file no longer says is unpublished')
})

t.test('apply publishes the ports of a compose file, short and long', async t => {
  const file = '/tmp/shop/docker-compose.yml'
  const text = `
services:
  web:
    image: mesh-test:1
    ports:
      - "$WEB_PORT:80"
      - target: 80
        published: 8302
        protocol: tcp
        mode: ingress
      - "80"
  dns:
    image: mesh-test:1
    ports: ["5353:53/udp", "127.0.0.1:8303:53"]
    labels: {mesh.scheduler: wlc}
  worker:
    image: mesh-test:1
`
  write(file, text)
  write('/tmp/shop/.env', 'WEB_PORT=8301\n')
  const applied = await node.meshctlJson<{ name: string; result: string; ports: string[] }[]>(
    'apply',
    '-f',
    file,
  )
  t.match(applied, [
    { name: 'shop/web', result: 'created', ports: ['8301:80/tcp', '8302:80/tcp', /^3\d{4}:80\/tcp$/] },
    { name: 'shop/dns', result: 'created', ports: ['5353:53/udp', '127.0.0.1:8303:53/tcp'] },
  ])
  t.equal(applied.length, 2, 'a service without ports is none of the mesh')
  for (const port of [8301, 8302, Number(applied[0]!.ports[2]!.split(':')[0])])
    t.match(await ask(url(port)), { container: short(shopWeb), client: outside, port: 80 })
  t.match(await askUdp(node.address, 5353), { container: short(shopDns), client: outside })
  await t.rejects(ask(url(8303)), { code: 'ECONNREFUSED' }, 'not on this address')
  t.match(await node.must('curl', '-s', 'http://127.0.0.1:8303/'), short(shopDns))
  t.same(
    (await node.meshctlJson<typeof applied>('apply', '-f', file)).map(({ result, ports }) => ({
      result,
      ports,
    })),
    applied.map(({ ports }) => ({ result: 'unchanged', ports })),
    'a second time nothing changes, chosen ports included',
  )
})

t.test('apply does all or nothing', async t => {
  const before = await mesh.list()
  const file = '/tmp/shop/mesh.yaml'
  const good = 'services:\n  good:\n    ports: ["8401:80"]\n    selector: {mesh.container: solo}\n'
  write(file, `${good}  bad:\n    ports: ["8402:80", "8301:80"]\n`)
  t.match(await node.meshctl('apply', '-f', file), {
    status: 1,
    stdout: '',
    stderr: /^meshctl: publish 8301\/tcp: service shop\/web publishes it\n$/,
  })
  write(file, `${good}  bad:\n    ports: ["8402:eighty"]\n`)
  t.match(await node.meshctl('apply', '-f', file), {
    status: 2,
    stdout: '',
    stderr: /^meshctl: mesh\.yaml:6 services\.bad\.ports\[0\] .*"eighty" is not a number/,
  })
  t.match(await node.meshctl('apply', '-f', '/tmp/shop/none.yaml'), { status: 2, stderr: /none\.yaml/ })
  for (const port of [8401, 8402]) await t.rejects(ask(url(port)), { code: 'ECONNREFUSED' })
  t.same(await mesh.list(), before)
  t.same(await mesh.plan(), [])
})
