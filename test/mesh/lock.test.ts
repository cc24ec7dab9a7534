/**
 * A thousand published ports while somebody else takes the lock of iptables again and again.
 */
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { findVariant } from '../../src/drivers/iptables-variant.js'
import { runInNamespace } from '../../src/netlink/addon.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { service } from '../helpers/services.js'
import { runByShell } from '../helpers/shell.js'
import { hostAddress, Topology } from '../helpers/topology.js'

t.test('a thousand ports, published while others hold the lock of iptables', async t => {
  const topology = new Topology()
  const directory = mkdtempSync(join(tmpdir(), 'mesh-lock-'))
  // iptables-restore as it is, but that each of its runs is noted.
  const runs = join(directory, 'runs')
  writeFileSync(runs, '')
  const { variant } = await findVariant(topology.host)
  const program = `iptables-${variant}-restore`
  const real = runByShell(null, ['sh', '-c', `command -v ${program}`]).trim()
  writeFileSync(join(directory, program), `#!/bin/sh\necho run >>${runs}\nexec ${real} "$@"\n`)
  chmodSync(join(directory, program), 0o755)
  const path = process.env.PATH
  process.env.PATH = `${directory}:${path}`
  const looks = runInNamespace(topology.host, () =>
    spawn('sh', ['-c', 'while :; do iptables -w -n -L >/dev/null; done'], { stdio: 'ignore' }),
  )
  const mesh = await MeshNode.create(topology)
  t.teardown(async () => {
    looks.kill()
    process.env.PATH = path
    rmSync(directory, { recursive: true })
    await mesh.clean()
    await topology.destroy()
  })
  const web = topology.addContainer('web', { labels: { app: 'web' } })
  await topology.serveTcp(web, 80, 'web')
  mesh.containers = [web]
  const ports = (from: number) => Array.from({ length: 500 }, (_, i) => `${from + i}:${80 + i}`)
  mesh.services = [service('web', ports(8000))]
  const began = performance.now()
  await mesh.pass()
  t.comment(`500 ports in ${Math.round(performance.now() - began)} ms`)
  const restores = () => readFileSync(runs, 'utf8').split('\n').length - 1
  const first = restores()
  t.ok(first >= 1 && first < 5, `host and sandbox, however many ports: ${first} runs of iptables-restore`)
  t.equal((await topology.ask(topology.client, hostAddress, 8000)).name, 'web')

  mesh.services = [...mesh.services, service('more', ports(9000), { selector: { app: 'web' } })]
  await mesh.pass('fast')
  t.equal(restores(), first, 'none for 500 more')
  t.equal((await topology.ask(topology.client, hostAddress, 9000)).name, 'web')
})
