/**
 * What a Docker Engine makes of ports that its ingress publishes, written as it stands
 * in the namespaces of one: for more ports than one can be made to publish within minutes.
 * Read off Engine 20.10; a service has one port, one mark and one container each.
 *
 *   host: nat DOCKER-INGRESS DNAT, filter DOCKER-INGRESS ACCEPT ─▶ docker_gwbridge ─▶ ingress_sbox:
 *   mangle MARK, IPVS by mark, SNAT ─▶ bridge of the overlay network ─▶ container: REDIRECT
 */
import { execFileSync } from 'node:child_process'
import { basename } from 'node:path'
import { runIn } from '../../test/helpers/namespaces.js'

/** Addresses on docker_gwbridge and on the ingress network. */
const gateway = '172.18.0.1'
const sandboxOnBridge = '172.18.0.2'
const taskOnBridge = '172.18.0.3'
const sandbox = '10.0.0.2'
const task = '10.0.0.3'
/** Mark of the first service, which the Engine counts from. */
const firstMark = 0x100

export interface DockerPort {
  readonly published: number
  readonly target: number
}

/** The VIP of a service on the ingress network. */
function vipOf(index: number): string {
  return `10.0.${64 + (index >> 8)}.${index & 255}`
}

function table(name: string, chains: readonly string[], rules: readonly string[]): string {
  return [`*${name}`, ...chains.map(chain => `:${chain} [0:0]`), ...rules, 'COMMIT', ''].join('\n')
}

const accepting = (...names: string[]) => names.map(name => `${name} ACCEPT`)
const own = (...names: string[]) => names.map(name => `${name} -`)
/** The Engine inserts each rule before the one of the port that came before. */
const newestFirst = (ports: readonly DockerPort[]) => [...ports].reverse()

function hostRules(ports: readonly DockerPort[]): string {
  const nat = [
    '-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER-INGRESS',
    '-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER',
    '-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER-INGRESS',
    '-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER',
    '-A POSTROUTING -o docker_gwbridge -m addrtype --src-type LOCAL -j MASQUERADE',
    '-A POSTROUTING -s 172.18.0.0/16 ! -o docker_gwbridge -j MASQUERADE',
    '-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE',
    '-A DOCKER -i docker_gwbridge -j RETURN',
    '-A DOCKER -i docker0 -j RETURN',
    ...newestFirst(ports).map(
      ({ published }) =>
        `-A DOCKER-INGRESS -p tcp -m tcp --dport ${published} -j DNAT --to-destination ${sandboxOnBridge}:${published}`,
    ),
    '-A DOCKER-INGRESS -j RETURN',
  ]
  const perBridge = (bridge: string) => [
    `-A FORWARD -o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    `-A FORWARD -o ${bridge} -j DOCKER`,
    `-A FORWARD -i ${bridge} ! -o ${bridge} -j ACCEPT`,
  ]
  const filter = [
    '-A FORWARD -j DOCKER-USER',
    '-A FORWARD -j DOCKER-INGRESS',
    '-A FORWARD -j DOCKER-ISOLATION-STAGE-1',
    ...perBridge('docker_gwbridge'),
    ...perBridge('docker0'),
    '-A FORWARD -i docker0 -o docker0 -j ACCEPT',
    '-A FORWARD -i docker_gwbridge -o docker_gwbridge -j DROP',
    ...newestFirst(ports).flatMap(({ published }) => [
      `-A DOCKER-INGRESS -p tcp -m tcp --dport ${published} -j ACCEPT`,
      `-A DOCKER-INGRESS -p tcp -m state --state RELATED,ESTABLISHED -m tcp --sport ${published} -j ACCEPT`,
    ]),
    '-A DOCKER-INGRESS -j RETURN',
    '-A DOCKER-ISOLATION-STAGE-1 -i docker_gwbridge ! -o docker_gwbridge -j DOCKER-ISOLATION-STAGE-2',
    '-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2',
    '-A DOCKER-ISOLATION-STAGE-1 -j RETURN',
    '-A DOCKER-ISOLATION-STAGE-2 -o docker_gwbridge -j DROP',
    '-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP',
    '-A DOCKER-ISOLATION-STAGE-2 -j RETURN',
    '-A DOCKER-USER -j RETURN',
  ]
  const policies = ['INPUT ACCEPT', 'FORWARD DROP', 'OUTPUT ACCEPT']
  const isolation = ['DOCKER-ISOLATION-STAGE-1', 'DOCKER-ISOLATION-STAGE-2', 'DOCKER-USER']
  return (
    table(
      'nat',
      [...accepting('PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'), ...own('DOCKER', 'DOCKER-INGRESS')],
      nat,
    ) + table('filter', [...policies, ...own('DOCKER', 'DOCKER-INGRESS', ...isolation)], filter)
  )
}

function sandboxRules(ports: readonly DockerPort[]): string {
  const mark = (index: number) => `-j MARK --set-xmark 0x${(firstMark + index).toString(16)}/0xffffffff`
  const all = ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING']
  return (
    table('mangle', accepting(...all), [
      ...ports.map(({ published }, i) => `-A PREROUTING -p tcp -m tcp --dport ${published} ${mark(i)}`),
      ...ports.map((_, i) => `-A INPUT -d ${vipOf(i)}/32 ${mark(i)}`),
    ]) +
    table('nat', accepting('PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'), [
      `-A POSTROUTING -d 10.0.0.0/16 -m ipvs --ipvs -j SNAT --to-source ${sandbox}`,
    ])
  )
}

/** Of the services whose container this is. */
function taskRules(ports: readonly DockerPort[]): string {
  const drops = (chain: string, side: string) =>
    ['sctp', 'udp', 'tcp'].map(protocol => `-A ${chain} ${side} ${task}/32 -p ${protocol} -j DROP`)
  return (
    table(
      'nat',
      accepting('PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'),
      ports.map(
        ({ published, target }) =>
          `-A PREROUTING -d ${task}/32 -p tcp -m tcp --dport ${published} -j REDIRECT --to-ports ${target}`,
      ),
    ) +
    table('filter', accepting('INPUT', 'FORWARD', 'OUTPUT'), [
      ...ports.map(
        ({ target }) =>
          `-A INPUT -d ${task}/32 -p tcp -m tcp --dport ${target} -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT`,
      ),
      ...drops('INPUT', '-d'),
      ...ports.map(
        ({ target }) =>
          `-A OUTPUT -s ${task}/32 -p tcp -m tcp --sport ${target} -m conntrack --ctstate ESTABLISHED -j ACCEPT`,
      ),
      ...drops('OUTPUT', '-s'),
    ])
  )
}

function ip(...commands: string[]): void {
  execFileSync('ip', ['-batch', '-'], { input: `${commands.join('\n')}\n` })
}

export class DockerLayout {
  private readonly sandbox: string

  /** `host` and `container`: paths of namespaces below /run/netns; nothing is in the container's. They end with this process's. */
  constructor(
    private readonly host: string,
    private readonly container: string,
  ) {
    const node = basename(host)
    const within = basename(container)
    const [ingress, overlay] = [`${node}-ingress`, `${node}-overlay`]
    this.sandbox = `/run/netns/${ingress}`
    ip(`netns add ${ingress}`, `netns add ${overlay}`)
    ip(
      `link add gw1 netns ${node} type veth peer name eth1 netns ${ingress}`,
      `link add gw2 netns ${node} type veth peer name eth1 netns ${within}`,
      `link add veth0 mtu 1450 netns ${overlay} type veth peer name eth0 mtu 1450 netns ${ingress}`,
      `link add veth1 mtu 1450 netns ${overlay} type veth peer name eth0 mtu 1450 netns ${within}`,
    )
    const inside = (name: string, ...commands: string[]) =>
      runIn(`/run/netns/${name}`, ['ip', '-batch', '-'], `${commands.join('\n')}\n`)
    const bridge = (name: string, address: string, ...ports: string[]) => [
      `link add ${name} type bridge`,
      `addr add ${address} dev ${name}`,
      `link set ${name} up`,
      ...ports.map(port => `link set ${port} master ${name} up`),
    ]
    const end = (onIngress: string, onBridge: string) => [
      'link set lo up',
      `addr add ${onIngress}/16 dev eth0`,
      `addr add ${onBridge}/16 dev eth1`,
      'link set eth0 up',
      'link set eth1 up',
      `route add default via ${gateway}`,
    ]
    inside(node, ...bridge('docker_gwbridge', `${gateway}/16`, 'gw1', 'gw2'))
    inside(overlay, ...bridge('br0', '10.0.0.1/16', 'veth0', 'veth1'))
    inside(ingress, ...end(sandbox, sandboxOnBridge))
    inside(within, ...end(task, taskOnBridge))
  }

  /** Publishes these ports and no others; the container is that of the services `served`. */
  publish(ports: readonly DockerPort[], served: readonly DockerPort[]): void {
    runIn(this.host, ['iptables-restore'], hostRules(ports))
    runIn(this.sandbox, ['iptables-restore'], sandboxRules(ports))
    runIn(this.container, ['iptables-restore'], taskRules(served))
    const entries = ports.map(
      (_, i) => `-A -f ${firstMark + i} -s rr\n-a -f ${firstMark + i} -r ${task}:0 -m -w 1\n`,
    )
    runIn(this.sandbox, ['ipvsadm', '-C'])
    runIn(this.sandbox, ['ipvsadm', '-R'], entries.join(''))
    const settings = [
      'conntrack=1',
      'conn_reuse_mode=0',
      'expire_nodest_conn=1',
      'expire_quiescent_template=1',
    ]
    runIn(this.sandbox, [
      'sysctl',
      '-qw',
      'net.ipv4.ip_forward=1',
      ...settings.map(each => `net.ipv4.vs.${each}`),
    ])
  }
}
