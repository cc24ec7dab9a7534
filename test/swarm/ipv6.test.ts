/**
 * IPv6 with a real Engine, whose containers have it turned off, and the agent itself.
 */
import t from 'tap'
import { ipv6 } from '../../src/planner/stack.js'
import { namespaceOf } from '../helpers/inside.js'
import { must, type Node, rareLooks, run, startNodes } from '../helpers/lab.js'
import { NodeMesh } from '../helpers/node-mesh.js'
import { waitFor } from '../helpers/wait.js'

const [node] = (await startNodes(1)) as [Node]
const own = 'fd77::1'

/** Gives the link that has an address of IPv4 one of IPv6, usable at once. */
async function addAddress(prefix: readonly string[], beside: string, address: string): Promise<void> {
  const links = await must([...prefix, 'ip', '-o', '-4', 'addr', 'show', 'to', beside])
  const [, link = ''] = links.trim().split(/\s+/)
  await must([...prefix, 'ip', 'addr', 'add', `${address}/64`, 'dev', link, 'nodad'])
}
const inNode = ['nsenter', `--net=${await namespaceOf(node)}`]
await addAddress(inNode, node.address, own)
await addAddress([], '192.168.77.254', 'fd77::254')

/** curl's status: 0 served, 7 refused, 28 silence. */
async function curl(url: string, prefix: readonly string[] = []): Promise<number> {
  return (await run([...prefix, 'curl', '-sS', '-o', '/dev/null', '-m', '5', url])).status
}
/** The host's end of the link to the sandbox tries its own link-local address for two seconds first. */
const answers = (url: string) => waitFor(async () => (await curl(url)) === 0, `an answer of ${url}`, 30, 0.1)

t.test('meshd --ipv6 on', async t => {
  const agent = await node.startAgent(...rareLooks, '--ipv6', 'on')
  t.teardown(async () => {
    if (!t.passing()) t.comment(agent.output.slice(-20_000))
    agent.kill('SIGTERM')
    await agent.ended
  })
  const mesh = new NodeMesh(node)
  await node.docker.runContainer({
    labels: { app: 'dual' },
    command: ['httpd', '-f', '-p', '[::]:80', '-h', '/etc'],
  })
  await node.docker.runContainer({ labels: { app: 'four' } })
  await mesh.client.publish({ service: 'dual', ports: ['8888:80'], selector: 'app=dual' }, 60)
  await mesh.client.publish({ service: 'four', ports: ['8889:80'], selector: 'app=four' }, 60)

  t.test('a published port is served in both families, and so is the VIP', async t => {
    await answers(`http://${node.address}:8888/hosts`)
    await answers(`http://[${own}]:8888/hosts`)
    t.equal(await curl('http://[::1]:8888/hosts', inNode), 0)
    const { vip } = (await mesh.client.list()).find(({ name }) => name === 'dual')!
    const vips = ipv6('10.253.0.0/16', 'fd4d:6573:68:1::/96')
    t.equal(await curl(`http://[${vips.address(vip!)}]/hosts`, inNode), 0)
  })

  t.test('where the container listens on IPv4 alone IPv6 is refused at once', async t => {
    await answers(`http://${node.address}:8889/`)
    t.equal(await curl(`http://[${own}]:8889/`), 7)
    t.equal(await curl('http://[::1]:8889/', inNode), 7)
  })

  const acceptRa = async (link: string) =>
    (await must([...inNode, 'sysctl', '-n', `net.ipv6.conf.${link}.accept_ra`])).trim()

  t.test('a link that comes later listens to routers, too', async t => {
    await must([...inNode, 'ip', 'link', 'add', 'late', 'type', 'veth', 'peer', 'name', 'later'])
    t.equal(await acceptRa('late'), '2')
    await must([...inNode, 'ip', 'link', 'del', 'late'])
  })

  t.test('all is well, and clean puts everything back', async t => {
    const { status, stdout } = await node.meshctl('status')
    t.equal(status, 0, stdout)
    const cleaned = await node.meshctl('clean')
    t.equal(cleaned.status, 0, cleaned.stderr)
    const left = await must([
      ...inNode,
      'sh',
      '-c',
      'ip addr; ip -6 rule; ip -6 route; ip6tables-save; ipset list -n',
    ])
    t.notMatch(left, /fd4d|mesh|MESH/)
    t.equal((await must([...inNode, 'sysctl', '-n', 'net.ipv6.conf.all.forwarding'])).trim(), '0')
    t.equal(await acceptRa('default'), '1')
    t.equal(await curl(`http://[${own}]:8888/`), 7)
  })
})
