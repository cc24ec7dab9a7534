/**
 * What stops meshd from starting, and what it waits for: each with its own message,
 * and with nothing of the mesh on the node before it is certain that it may.
 */
import { writeFileSync } from 'node:fs'
import t from 'tap'
import { ask } from '../helpers/clients.js'
import { rareLooks, run, startNodes } from '../helpers/lab.js'
import { NodeMesh } from '../helpers/node-mesh.js'
import { waitFor } from '../helpers/wait.js'

const [node] = await startNodes(1, { docker: false })
if (!node) throw new Error('no node')
const mesh = new NodeMesh(node)
const meshd = ['node', 'dist/src/cli/meshd.js']

/** Runs meshd, which has to end by itself: its status and what it says in one line. */
async function ends(...argv: string[]): Promise<{ status: number; stderr: string }> {
  const { status, stderr } = await node!.exec('timeout', '60', ...argv)
  return { status, stderr }
}

/** Whether the node has anything of the mesh. */
async function traces(): Promise<string> {
  const look =
    'iptables-save; ipset save; ip rule; ip -br link; ls /run/netns /run/mesh /var/lib/mesh 2>/dev/null; true'
  const text = await node!.must('sh', '-c', look)
  return text
    .split('\n')
    .filter(line => /mesh/i.test(line) && !line.startsWith('/'))
    .join('\n')
}

t.test('settings that make no sense are told with field, value and remedy', async t => {
  writeFileSync('/tmp/mesh.yaml', 'resync: 5\nresink: 5\n')
  const cases: [string[], RegExp][] = [
    [
      ['--resync', '0'],
      /^meshd: --resync "0": outside 1–3600; give a whole number of seconds from 1 to 3600\n$/,
    ],
    [
      ['--pool', '10.254.0.1/16'],
      /^meshd: --pool "10\.254\.0\.1\/16": not where a subnet begins; write 10\.254\.0\.0\/16\n$/,
    ],
    [['--resink', '5'], /^meshd: .*--resink.*did you mean --resync\?\n$/],
    [
      ['--config', '/tmp/mesh.yaml'],
      /^meshd: setting in \/tmp\/mesh\.yaml "resink": there is no such thing; did you mean resync\?\n$/,
    ],
    [
      ['--iptables', 'ipfw'],
      /^meshd: --iptables "ipfw": not one of the choices; write auto, legacy or nft\n$/,
    ],
  ]
  for (const [flags, words] of cases) t.match(await ends(...meshd, ...flags), { status: 2, stderr: words })
  t.match(await ends('env', 'MESH_MTU=big', ...meshd), { status: 2, stderr: /^meshd: MESH_MTU "big": / })
})

t.test('a pool that overlaps a network of the node is refused', async t => {
  t.match(await ends(...meshd, '--pool', '192.168.0.0/16'), {
    status: 2,
    stderr:
      /^meshd: pool "192\.168\.0\.0\/16": it overlaps 192\.168\.77\.1\/24 on this host's link eth0; choose a subnet that is used nowhere on your network, as in [\d./]+, with --pool\n$/,
  })
})

t.test('without root it says so', async t => {
  t.match(await ends('setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', ...meshd), {
    status: 1,
    stderr:
      /^meshd: meshd runs as user 65534, but changing the kernel's network needs root; start it with sudo/,
  })
})

t.test('without iptables it names the package', async t => {
  await node.must(
    'sh',
    '-c',
    'mkdir -p /run/bin && ln -sf "$(command -v node)" "$(command -v modprobe)" /run/bin',
  )
  t.match(await ends('env', 'PATH=/run/bin', ...meshd), {
    status: 1,
    stderr:
      /^meshd: the program iptables is missing: install the package iptables \(apt-get install iptables\)\n$/,
  })
})

t.test('a kernel without ipset, or without IPVS, is called by its lack', async t => {
  // The lab's own, for all of its namespaces; and no way to load what is unloaded.
  const loaded = (await run(['lsmod'])).stdout
  const modules = (pattern: RegExp) => [...loaded.matchAll(pattern)].map(([name]) => name)
  const hide = ['mv', '/lib/modules', '/lib/modules.hidden']
  const show = ['mv', '/lib/modules.hidden', '/lib/modules']
  for (const [pattern, words] of [
    [
      /^(xt_set|ip_set\w*)/gm,
      /^meshd: kernel without ipset: modprobe ip_set did not help; boot a kernel with CONFIG_IP_SET/,
    ],
    [
      /^(xt_ipvs|ip_vs\w*)/gm,
      /^meshd: kernel without IPVS: modprobe ip_vs did not help; boot a kernel with CONFIG_IP_VS/,
    ],
  ] as const) {
    const names = modules(pattern)
    t.ok(names.length > 1, names.join(' '))
    t.equal((await run(['modprobe', '-ra', ...names])).status, 0)
    await run(hide)
    t.match(await ends(...meshd), { status: 1, stderr: words })
    await run(show)
    t.equal((await run(['modprobe', '-a', ...names])).status, 0)
  }
})

t.test('of all these refusals nothing is left on the node', async t => {
  t.equal(await traces(), '')
})

t.test(
  'without Docker it waits and says so; what is published meanwhile is served when Docker comes',
  async t => {
    const agent = node.start(...meshd)
    t.teardown(() => agent.kill('SIGTERM'))
    await waitFor(() => mesh.client.status(), 'the agent', 30)
    const waiting = await waitFor(
      async () => {
        const { status, stdout } = await node.meshctl('status')
        return stdout.includes('trouble') ? { status, stdout } : null
      },
      'its trouble',
      20,
    )
    t.equal(waiting.status, 1)
    t.match(waiting.stdout, /^health +NOT healthy$/m)
    t.match(
      waiting.stdout,
      /^docker +trouble +docker: there is no socket at \/var\/run\/docker\.sock; is Docker installed, and its daemon started\?$/m,
    )
    t.match(await node.meshctl('publish', '8888:80', 'solo'), {
      status: 0,
      stdout: 'solo is published on 8888:80/tcp; no endpoint yet\n',
      stderr: /^meshctl: warning: Docker has not answered yet/,
    })
    await node.startDocker()
    const id = await node.docker.runContainer({ name: 'solo' })
    const answer = await waitFor(() => ask(`http://${node.address}:8888/`), 'an answer', 20)
    t.equal(answer.container, id.slice(0, 12))
    t.equal((await node.meshctl('status')).status, 0)

    t.test('a second meshd on its socket ends, and the first goes on', async t => {
      t.match(await ends(...meshd), {
        status: 1,
        stderr:
          'meshd: socket /run/mesh/mesh.sock: another meshd answers there; stop it first, or use --socket for a second one\n',
      })
      t.match(await ask(`http://${node.address}:8888/`), { container: id.slice(0, 12) })
      t.equal((await node.meshctl('status')).status, 0)
    })

    t.test('the socket of a meshd that was killed is no hindrance to the next', async t => {
      agent.kill('SIGKILL')
      await agent.ended
      const next = await node.startAgent(...rareLooks)
      t.teardown(() => next.kill('SIGTERM'))
      t.equal((await node.must('stat', '-c', '%a %U', '/run/mesh/mesh.sock')).trim(), '660 root')
      t.match(await ask(`http://${node.address}:8888/`), { container: id.slice(0, 12) })
    })
  },
)
