/**
 * Puts the agent together and runs it: settings in, until a signal or `clean` ends it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import type { Settings } from '../config/table.js'
import { forgetFlows, staleFlows } from '../drivers/conntrack.js'
import { requireIpvs } from '../drivers/try-ipvs.js'
import { reasonOf } from '../errors.js'
import { PeerWatch } from '../health/peer-watch.js'
import { sandboxPath } from '../kernel/ownership.js'
import { ProcessWatch } from '../netlink/process-watch.js'
import { dockerSource } from '../sources/docker.js'
import { FileSource } from '../sources/file.js'
import { readListeners } from '../sources/listeners.js'
import { servicesFromFile } from '../sources/mesh-file.js'
import { SwarmServices } from '../sources/swarm-service.js'
import { type Api, serveApi, serveMetrics } from '../status/api.js'
import { createMetrics } from '../status/metrics.js'
import { requireAlone } from '../status/socket.js'
import { cleanHost } from './clean.js'
import { checkPools, reservedOf, servicesOfFile } from './derived.js'
import { lookAtFlowTables } from './flow-tables.js'
import { findGround } from './ground.js'
import { HeldPorts } from './held-ports.js'
import { Collected } from './inputs.js'
import { Loop } from './loop.js'
import { MeshAgent } from './mesh-agent.js'
import { metricsText } from './metrics-text.js'
import { Names } from './names.js'
import { allPlaces, ownPlaces } from './places.js'
import { inContainer, requireIpv6, requirementsOf, requireRoot, takePrecedence } from './preflight.js'
import { absence } from './silent-nodes.js'
import { SwarmMirror } from './swarm-mirror.js'
import { Tunnel } from './tunnel.js'
import { tunnelMtu } from './underlay.js'

/** Runs the agent until it is told to end. Throws MeshError when it cannot begin. */
export async function runAgent(settings: Settings, version: string): Promise<void> {
  const log = pino({ level: settings.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime })
  requireRoot()
  // Before this one takes the other's place in the cluster.
  await requireAlone(settings.socket)
  takePrecedence()
  await requireIpvs()
  if (settings.ipv6) requireIpv6()
  checkPools(settings)
  const names = new Names(settings, log)
  names.start()
  const { store, cluster, sockets, kernel, node, plan, found } = await findGround(settings, log)

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
  const heldPorts = new HeldPorts({ found, reserved: reservedOf(settings), readListeners, log })
  const loop: Loop = new Loop({
    kernel,
    collected: new Collected(
      origins,
      [docker, ...(cluster ? [cluster] : [])].map(({ name }) => name),
      node,
      name => peerWatch.reachOf(name),
      services => heldPorts.left(services),
    ),
    cluster,
    peerWatch,
    store,
    files,
    docker,
    heldPorts,
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
      await lookAtFlowTables({ sockets, places: ownPlaces, troubles: loop.troubles, log })
      const mtu = () => tunnelMtu(settings, sockets, ownPlaces)
      if (cluster) await tunnel.look({ loop, sandbox: sandboxPath, mtu, log })
    },
    onHeard: () => mirror.mark(),
  })
  const { portRange, vipPool } = settings
  const publishing = {
    portRange,
    vipPool,
    reserved: reservedOf(settings),
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
  })
  const onDefect = (error: unknown) => log.error({ reason: reasonOf(error) }, 'request failed')
  servers.push(await serveApi(agent, settings.socket, onDefect, () => void end('clean')))
  if (settings.metrics) servers.push(await serveMetrics(agent, settings.metrics, onDefect))
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void end(signal))
  log.info({ version, node: node.name, subnet: node.subnet, socket: settings.socket }, 'agent started')
  loop.start()
}
