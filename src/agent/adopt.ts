/**
 * Ports of a Swarm service change hands, from Swarm's ingress to the mesh and back, in an
 * order in which somebody answers at every moment.
 *
 * The mesh's rules stand before those of Docker: a port that both publish is the mesh's.
 * So adopting sets the service's label first, by which the mesh publishes the ports, and
 * then takes them from Docker; releasing gives them to Docker first, and takes the label
 * away when that leads somewhere. Swarm replaces the tasks of a service whose ports
 * change (IsTaskDirty in swarmkit's manager/orchestrator/task.go compares endpoint
 * specifications), the mesh answering meanwhile. Whatever ends this in the middle leaves
 * ports that are published by both, and asking once more goes on from there.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { InputError, MeshError, reasonOf } from '../errors.js'
import { publishLabel } from '../model/declaration.js'
import { formatPort, type PublishedPort } from '../model/ports.js'
import type { Service } from '../model/service.js'
import { type SwarmService, type SwarmServices, withIngress, withLabel } from '../sources/swarm-service.js'
import type { AdoptView } from '../status/views.js'
import { adoptionOf, releaseOf, samePorts, strangers } from './adoption.js'
import { ownAddresses } from './inputs.js'
import type { Loop } from './loop.js'

/** What of the loop it takes. */
export type AdoptLoop = Pick<Loop, 'collected' | 'store' | 'settled'>

export interface AdoptInput {
  readonly loop: AdoptLoop
  readonly swarm: SwarmServices
  /** Whether some manager mirrors labels. */
  readonly labelsInForce: () => boolean
  /** Seconds between full passes. */
  readonly resync: number
  /** Seconds in which every node hears of a change, and Docker's gossip of a task. */
  readonly hearing: number
}

/** How long the mesh may take to do as the label says, seconds. */
const mirrorPatience = 15
/** How long Swarm may take to replace all tasks, seconds. */
const updatePatience = 3600

const stackLabel = 'com.docker.stack.namespace'

/** `keep`: leaves Docker's publication in force behind the mesh's, so that Swarm replaces no task. */
export async function adopt(input: AdoptInput, name: string, keep: boolean): Promise<AdoptView> {
  const { loop, swarm } = input
  const service = await swarm.read(name)
  refuseOthers(input, name)
  if (!keep) await requireAllNodes(input, name)
  const former = labelOf(service)
  const { label, ports } = adoptionOf(name, former, service.ingress)
  const isNew = label !== former
  if (isNew) await swarm.change(name, spec => withLabel(spec, publishLabel, label))
  try {
    await published(loop, name, ports)
    // Docker puts its jump before the mesh's when it publishes its first port; a full pass puts it back.
    if (isNew) await sleep((input.hearing + input.resync) * 1000)
    if (!keep) await swarm.change(name, spec => withIngress(spec, []))
  } catch (error) {
    throw await takenBack(error, name, () =>
      swarm.change(name, spec =>
        isNew && spec.Labels?.[publishLabel] === label ? withLabel(spec, publishLabel, former) : null,
      ),
    )
  }
  return {
    name,
    ports: ports.map(formatPort),
    replacing: !keep && (await swarm.tasks(name)) > 0,
    warnings: stackWarning(
      service,
      `labels: { ${publishLabel}: "${label}" } under deploy: in place of ports:`,
    ),
  }
}

export async function release(input: AdoptInput, name: string): Promise<AdoptView> {
  const { loop, swarm } = input
  const service = await swarm.read(name)
  refuseOthers(input, name)
  const stored = storedOf(loop, name)
  if (!stored || stored.ports.length === 0)
    throw new InputError('service', name, 'no port of it is the mesh’s', '`meshctl ls` lists what is')
  const ingress = releaseOf(stored, service.ingress)
  const isThere = samePorts(ingress, service.ingress)
  if (!isThere) await swarm.change(name, spec => withIngress(spec, ingress))
  try {
    await replaced(swarm, name, isThere)
  } catch (error) {
    if (isThere) throw error
    throw await takenBack(error, name, () => swarm.change(name, spec => withIngress(spec, service.ingress)))
  }
  await sleep(input.hearing * 1000)
  await swarm.change(name, spec => withLabel(spec, publishLabel, null))
  await until(
    () => (storedOf(loop, name)?.ports.length ?? 0) === 0,
    mirrorPatience,
    () => `Docker publishes the ports of ${name}, and the mesh still does too; see meshctl inspect ${name}`,
  )
  await loop.settled()
  return {
    name,
    ports: stored.ports.map(formatPort),
    replacing: false,
    warnings: stackWarning(service, `ports: in place of the label ${publishLabel}`),
  }
}

/** Until the service is published so by this node; throws what keeps it from that. */
async function published(loop: AdoptLoop, name: string, ports: readonly PublishedPort[]): Promise<void> {
  const isThere = () => {
    const specs = new Set(storedOf(loop, name)?.ports.map(formatPort))
    return ports.every(port => specs.has(formatPort(port)) || coveredBy(port, storedOf(loop, name)))
  }
  await until(isThere, mirrorPatience, () => {
    const problems = storedOf(loop, name)?.problems ?? []
    return `publish ${ports.map(formatPort).join(', ')}: ${problems.join('; ') || 'no manager has mirrored the label; see meshctl status'}`
  })
  await loop.settled()
}

/** Whether a port is part of a range that the service has. */
function coveredBy(port: PublishedPort, service: Service | undefined): boolean {
  return (service?.ports ?? []).some(
    ({ protocol, published }) =>
      protocol === port.protocol &&
      published.first <= port.published.first &&
      published.last >= port.published.last,
  )
}

/** Until Swarm has replaced all tasks; throws what keeps it from that. `settled`: they need not be. */
async function replaced(swarm: SwarmServices, name: string, settled: boolean): Promise<void> {
  const end = performance.now() + updatePatience * 1000
  for (;;) {
    const { update } = await swarm.read(name)
    if (update === null ? settled || (await swarm.tasks(name)) === 0 : update.state === 'completed') return
    if (update && /paused|rollback/.test(update.state))
      throw new MeshError('MESH_SOURCE', `Swarm gave up replacing the tasks of ${name}: ${update.message}`)
    if (performance.now() > end)
      throw new MeshError(
        'MESH_SOURCE',
        `Swarm has not replaced the tasks of ${name} within ${updatePatience} s; see docker service ps ${name}`,
      )
    await sleep(500)
  }
}

/** The error to be thrown once what was done is undone. */
async function takenBack(error: unknown, name: string, undo: () => Promise<void>): Promise<MeshError> {
  const code = error instanceof MeshError ? error.code : 'MESH_INTERNAL'
  const done = await undo().then(
    () => `${name} is as it was`,
    reason =>
      `${name} could not be put back as it was: ${reasonOf(reason)}; see docker service inspect ${name}`,
  )
  return new MeshError(code, `${reasonOf(error)}; ${done}`, { cause: error })
}

/** Labels decide about services of Swarm's, and about none that is published otherwise. */
function refuseOthers({ loop, labelsInForce }: AdoptInput, name: string): void {
  const { origins } = loop.collected.services
  const origin = origins.get(name)
  if (origin !== undefined && origin !== loop.store.name)
    throw new InputError('service', name, `it is defined by ${origin}`, 'take it out there first')
  const stored = storedOf(loop, name)
  if (stored?.declaredBy === 'meshctl')
    throw new InputError(
      'service',
      name,
      'it was published by meshctl, which goes before labels of the service',
      `first: ${stored.ports.map(port => `meshctl unpublish ${formatPort(port)} ${name}`).join('; ')}`,
    )
  if (!labelsInForce())
    throw new MeshError(
      'MESH_SOURCE',
      `service ${name}: no manager mirrors labels at the moment; see meshctl status`,
    )
}

/** Where there is no agent, or a silent one, nothing would answer any more. */
async function requireAllNodes({ loop, swarm }: AdoptInput, name: string): Promise<void> {
  const { nodes } = loop.collected.nodes
  const silent = nodes.filter(({ live }) => !live).map(node => node.name)
  const own = { name: loop.collected.own.name, addresses: ownAddresses() }
  const mesh = [own, ...nodes.map(each => ({ name: each.name, addresses: [each.address] }))]
  const without = [...silent, ...strangers(await swarm.nodes(), mesh)]
  if (without.length > 0)
    throw new InputError(
      'service',
      name,
      `its ports would not be answered any more by ${without.join(', ')}, where no agent of the mesh is heard of`,
      "run meshd there, or leave Docker's publication behind the mesh's: --keep",
    )
}

function storedOf(loop: AdoptLoop, name: string): Service | undefined {
  return loop.collected.servicesOf(loop.store.name).find(each => each.name === name)
}

function labelOf({ spec }: SwarmService): string | null {
  return spec.Labels?.[publishLabel] ?? null
}

function stackWarning({ spec }: SwarmService, change: string): string[] {
  const stack = spec.Labels?.[stackLabel]
  if (stack === undefined) return []
  return [`it is of stack ${stack}, whose next deployment goes by its file; write there ${change}`]
}

async function until(condition: () => boolean, seconds: number, complaint: () => string): Promise<void> {
  const end = performance.now() + seconds * 1000
  while (!condition()) {
    if (performance.now() > end) throw new MeshError('MESH_SOURCE', complaint())
    await sleep(50)
  }
}
