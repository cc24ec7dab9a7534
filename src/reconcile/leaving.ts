/**
 * What stays in the kernel for a while although the plan has it no more: destinations that drain,
 * their virtual services, and what leads to them where their container is no longer attached.
 */
import type { DestinationReading, KernelObject, KernelState } from '../kernel/objects.js'
import { attachmentLink } from '../kernel/ownership.js'
import type { Mesh } from '../model/mesh.js'
import { defaultDrain } from '../model/service.js'
import { type AddressBook, isInSubnet, nodeAddress } from '../planner/addresses.js'
import { linkOf, linksByAddress } from '../planner/attachment.js'
import { type PlanSettings, stacksOfNode } from '../planner/base.js'
import type { Drains } from '../planner/drains.js'
import { passagesOf } from '../planner/passage.js'
import { retire } from '../planner/retire.js'
import { ipv4Of } from '../planner/stack.js'
import { type Inputs, runs } from './pass.js'
import type { RemoteAddresses } from './remote-addresses.js'

export interface LeavingInput {
  readonly inputs: Inputs
  readonly mesh: Mesh
  readonly wanted: KernelState
  /** What the kernel holds, or was last known to hold. */
  readonly before: KernelState
  readonly readings: ReadonlyMap<string, DestinationReading>
  /** Seconds since 1970. */
  readonly now: number
  readonly settings: PlanSettings
  readonly book: AddressBook
  readonly drains: Drains
  readonly remote: RemoteAddresses
}

export function findLeaving(input: LeavingInput): KernelObject[] {
  const { mesh, wanted, before, readings, now, drains } = input
  const links = linksByAddress(before.values())
  const staying = retire({
    held: before,
    wanted,
    readings,
    alive: isAlive(input, links),
    drainOf: match => drains.of(match) ?? defaultDrain,
    now,
  })
  const leaving: KernelObject[] = [...staying]
  const attached = new Set(mesh.attachments.map(({ id }) => attachmentLink(id)))
  const kept = new Set<string>()
  for (const object of staying) {
    const link = object.kind === 'destination' ? links.get(object.address) : undefined
    if (link && !attached.has(link)) kept.add(link)
  }
  if (kept.size === 0) return leaving
  for (const object of before.values()) {
    const link = linkOf(object, links)
    if (link && kept.has(link)) leaving.push(object)
  }
  return leaving
}

/** Whether packets to an address can still arrive; see RetireInput. */
function isAlive(
  { inputs, settings, book, remote }: LeavingInput,
  links: ReadonlyMap<string, string>,
): (address: string) => boolean {
  const { node } = inputs
  const running = new Set(inputs.containers.containers.filter(runs).map(({ id }) => attachmentLink(id)))
  const own = nodeAddress(node.subnet)
  const stacks = stacksOfNode(node, settings)
  const ways = [...passagesOf(node, stacks).values(), ...stacks]
  return address => {
    const four = ipv4Of(address, ways)
    if (four === null || four === own || !isInSubnet(four, node.pool)) return true
    if (!isInSubnet(four, node.subnet)) return remote.has(four, inputs)
    const link = links.get(address) ?? book.ownerOf(four)
    return link !== undefined && running.has(link)
  }
}
