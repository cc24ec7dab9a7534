/**
 * Puts the agent together and runs it: settings in, until a signal or `clean` ends it.
 */
import { networkInterfaces, release } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Logger, pino } from 'pino'
import { checkPool } from '../config/pool.js'
import type { Settings } from '../config/table.js'
import { forgetFlows, staleFlows } from '../drivers/conntrack.js'
import { discoverPlaces } from '../drivers/discover.js'
import { createIptablesDriver } from '../drivers/iptables.js'
import { findVariant, type Variant, variantsOfMesh } from '../drivers/iptables-variant.js'
import { Sockets } from '../drivers/sockets.js'
import { requireIpvs } from '../drivers/try-ipvs.js'
import { reasonOf } from '../errors.js'
import { PeerWatch } from '../health/peer-watch.js'
import { diff } from '../kernel/diff.js'
import type { Places } from '../kernel/driver.js'
import { type SysctlObject, stateOf } from '../kernel/objects.js'
import { meshLink, sandboxPath } from '../kernel/ownership.js'
import { subnetOfNode } from '../model/cluster.js'
import { type ReservedPort, reservedPorts } from '../model/conflicts.js'
import { checkVip } from '../model/vips.js'
import { ProcessWatch } from '../netlink/process-watch.js'
import { noNeeds, type PlanSettings, planBase } from '../planner/base.js'
import { type Former, formersOf } from '../planner/rules.js'
import { dockerSource } from '../sources/docker.js'
import { FileSource } from '../sources/file.js'
import { servicesFromFile } from '../sources/mesh-file.js'
import { SwarmServices } from '../sources/swarm-service.js'
import { type Api, serveApi, serveMetrics } from '../status/api.js'
import { createMetrics } from '../status/metrics.js'
import { cleanHost } from './clean.js'
import { currentIpForward, formersOfIpv6 } from './former.js'
import { Collected, type OwnNode } from './inputs.js'
import { createKernel } from './kernel.js'
import { Loop } from './loop.js'
import { MeshAgent } from './mesh-agent.js'
import { metricsText } from './metrics-text.js'
import { Names } from './names.js'
import { inContainer, requireIpv6, requirementsOf, requireRoot, takePrecedence } from './preflight.js'
import { join, sharingOf } from './sharing.js'
import { absence } from './silent-nodes.js'
import { SwarmMirror } from './swarm-mirror.js'
import { Tunnel } from './tunnel.js'
import { tunnelMtu } from './underlay.js'

const ownPlaces: Places = new Map([
  ['host', null],
  ['mesh', sandboxPath],
])

/** The node's share of the pool while there is one node only; the configuration has seen that it fits. */
function onlySubnet({ pool, nodePrefix }: Settings): string {
  return subnetOfNode(pool, nodePrefix, 1)!
}

function hostAddresses(): { link: string; address: string }[] {
  return Object.entries(networkInterfaces()).flatMap(([link, list]) =>
    (list ?? []).flatMap(({ cidr }) => (cidr && !cidr.startsWith('fe80:') ? [{ link, address: cidr }] : [])),
  )
}

async function variantOf(settings: Settings, log: Logger): Promise<Variant> {
  if (settings.iptables !== 'auto') return settings.iptables
  const found = await findVariant(null)
  log.info({ variant: found.variant, reason: found.reason }, 'iptables variant')
  return found.variant
}

function planSettings(
  settings: Settings,
  formerIpForward: '0' | '1',
  formers: readonly Former[],
): PlanSettings {
  const { mtu, tcpTimeout, tcpFinTimeout, udpTimeout } = settings
  return {
    sandboxPath,
    mtu,
    tcpTimeout,
    tcpFinTimeout,
    udpTimeout,
    kernelRelease: release(),
    formerIpForward,
    ipv6: settings.ipv6 ? { pool: settings.pool6, formers } : null,
    vipPool6: settings.vipPool6,
    vipPool: settings.vipPool,
  }
}

/** The parameters that any plan sets; their names depend on no node. */
function sysctlsOf(settings: Settings): SysctlObject[] {
  const subnet = onlySubnet(settings)
  const anyNode = { name: '', subnet, pool: settings.pool, addresses: [], membership: null }
  return planBase(anyNode, planSettings(settings, '1', []), noNeeds).filter(
    object => object.kind === 'sysctl',
  )
}

function reserved(settings: Settings): ReservedPort[] {
  const own = settings.metrics
    ? [{ protocol: 'tcp' as const, port: settings.metrics.port, purpose: "the agent's own metrics" }]
    : []
  const tunnel =
    settings.store === 'etcd'
      ? [{ protocol: 'udp' as const, port: settings.vxlanPort, purpose: 'the tunnel between nodes' }]
      : []
  return [...reservedPorts, ...settings.reservedPorts, ...own, ...tunnel]
}

/** Throws InputError where this host uses a pool for something else. */
function checkPools({ pool, vipPool, ipv6, pool6, vipPool6 }: Settings): void {
  const addresses = hostAddresses()
  checkPool(pool, addresses, meshLink)
  if (vipPool) checkPool(vipPool, addresses, meshLink, 'vip-pool')
  if (ipv6) checkPool(pool6, addresses, meshLink, 'pool6')
  if (ipv6 && vipPool) checkPool(vipPool6, addresses, meshLink, 'vip-pool6')
}

/** Reads a watched file. It is no store where a VIP could be refused later, so that is done here. */
function servicesOfFile(vipPool: string | null): typeof servicesFromFile {
  return (text, name, environment) => {
    const publications = servicesFromFile(text, name, environment)
    for (const { name: service, vip } of publications)
      if (vip !== 'auto' && vip !== 'none') checkVip(vip, vipPool, `services.${service}.vip`)
    return publications
  }
}

/** Runs the agent until it is told to end. Throws MeshError when it cannot begin. */
export async function runAgent(settings: Settings, version: string): Promise<void> {
  const log = pino({ level: settings.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime })
  requireRoot()
  takePrecedence()
  await requireIpvs()
  if (settings.ipv6) requireIpv6()
  checkPools(settings)
  const names = new Names(settings, log)
  names.start()
  const variant = await variantOf(settings, log)
  const { store, cluster } = sharingOf(settings)
  const sockets = new Sockets()
  const kernel = createKernel({ variant, ipv6: settings.ipv6, sockets, sysctls: sysctlsOf(settings) })
  const sight = await kernel.observe(ownPlaces)
  for (const error of sight.blind.values()) throw error
  const onMoved = () => {
    log.fatal('this node has another place in the cluster than its kernel; start the agent again')
    process.exit(1)
  }
  const joining = { settings, sockets, places: ownPlaces, log, objects: sight.objects, onMoved }
  const place = cluster ? await join(cluster, joining) : null
  const node: OwnNode = {
    name: settings.nodeName,
    subnet: place?.record.subnet ?? onlySubnet(settings),
    pool: settings.pool,
    membership: place?.membership ?? null,
  }
  const formers = formersOf(sight.objects)
  const wasForwarding = formers.some(({ name }) => name === 'net.ipv4.ip_forward') ? '0' : currentIpForward()
  const plan = planSettings(
    settings,
    wasForwarding,
    await formersOfIpv6(formers, settings.ipv6, kernel, sockets, ownPlaces),
  )

  const metrics = createMetrics(version)
  const files = settings.files.map(file => new FileSource(file, servicesOfFile(settings.vipPool)))
  const processWatch = new ProcessWatch()
  const docker = dockerSource({
    socketPath: settings.docker,
    followProcess: (pid, ended) => processWatch.follow(pid, ended),
    meshPool: settings.pool,
    ipv6: settings.ipv6,
  })
  const origins = [...files, store].map(({ name }) => name)
  const peerWatch = new PeerWatch({ sandbox: sandboxPath, onChange: () => loop.peersChanged() })
  const tunnel = new Tunnel()
  const loop: Loop = new Loop({
    kernel,
    collected: new Collected(
      origins,
      [docker, ...(cluster ? [cluster] : [])].map(({ name }) => name),
      node,
      name => peerWatch.reachOf(name),
    ),
    cluster,
    peerWatch,
    store,
    files,
    docker,
    plan,
    runner: { minGap: settings.minGap, resync: settings.resync * 1000 },
    log,
    forget: async (changes, found) =>
      void (await forgetFlows(staleFlows(changes, found), sockets, ownPlaces)),
    onPass: pass => {
      metrics.pass(pass.kind, pass.duration / 1000, pass.outcomes)
      metrics.repairs(pass.repairs.length)
      names.tell(loop)
    },
    look: async () => {
      const mtu = () => tunnelMtu(settings, sockets, ownPlaces)
      if (cluster) await tunnel.look({ loop, sandbox: sandboxPath, mtu, log })
    },
    onHeard: () => mirror.mark(),
  })
  const { portRange, vipPool } = settings
  const publishing = {
    portRange,
    vipPool,
    reserved: reserved(settings),
    requireOfKernel: requirementsOf(settings.ipv6),
    log,
  }
  const mirror = new SwarmMirror({ collected: loop.collected, store, cluster, ...publishing })

  const servers: Api[] = []
  const end = async (reason: string) => {
    log.info({ reason }, 'ending; the kernel keeps what it has')
    await mirror.stop()
    // Of an agent that comes back nobody need notice anything; one that cleaned up is gone.
    await (reason === 'clean' ? cluster?.leave() : cluster?.pause(absence))?.catch(() => {})
    await loop.stop()
    processWatch.close()
    await names.stop()
    await Promise.all(servers.map(server => server.close()))
    // Docker Engine 20.10 never ends a `docker exec` (of meshctl clean) whose process outlives the container's own.
    if (reason === 'clean' && inContainer()) await sleep(2000)
    process.exit(0)
  }
  const agent = new MeshAgent({
    loop,
    cluster,
    version: { version, node: settings.nodeName },
    ...publishing,
    swarm: new SwarmServices(settings.docker),
    resync: settings.resync,
    labelsInForce: () => mirror.inForce,
    domain: settings.dns && vipPool !== null ? settings.dnsDomain : null,
    names,
    parseFile: servicesFromFile,
    metrics: () => metricsText({ metrics, agent, tunnel, names, sockets, places: ownPlaces }),
    cleanHost: async () => cleanHost({ kernel, places: await allPlaces(), socket: settings.socket }),
    exit: () => {},
  })
  const onDefect = (error: unknown) => log.error({ reason: reasonOf(error) }, 'request failed')
  servers.push(await serveApi(agent, settings.socket, onDefect, () => void end('clean')))
  if (settings.metrics) servers.push(await serveMetrics(agent, settings.metrics, onDefect))
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void end(signal))
  log.info({ version, node: node.name, subnet: node.subnet, socket: settings.socket }, 'agent started')
  loop.start()
}

async function allPlaces(): Promise<Places> {
  return new Map([...ownPlaces, ...(await discoverPlaces(ownPlaces))])
}

/** Throws what one of the removals failed with. */
async function removeRules(variant: Variant, places: Places): Promise<void> {
  const driver = createIptablesDriver(variant)
  const { objects } = await driver.observe(places)
  for (const { error } of await driver.apply(diff(new Map(), stateOf(objects)), places))
    if (error) throw error
}

/** `meshctl clean` without an agent. Returns what was removed, as an operator would type it. */
export async function cleanWithoutAgent(socket: string): Promise<string[]> {
  requireRoot()
  const places = await allPlaces()
  const [variant = 'legacy', ...others] = await variantsOfMesh(null)
  // A set can only be destroyed when no rule of either variant uses it.
  for (const other of others) await removeRules(other, places)
  const kernel = createKernel({ variant, sockets: new Sockets() })
  return cleanHost({ kernel, places, socket })
}
