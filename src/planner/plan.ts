/**
 * Mesh → what this node's kernel should hold. Pure. The plan comes in slices, one
 * for the node itself, one for each service, attachment and other node; a slice of which
 * nothing changed is the same array as last time, so that one change costs the work
 * of one slice.
 */
import { containerPlace } from '../kernel/objects.js'
import type { NodeRecord } from '../model/cluster.js'
import { sameItems } from '../model/differences.js'
import type { Attachment, Mesh } from '../model/mesh.js'
import type { Node } from '../model/snapshot.js'
import { sandboxAddress } from './addresses.js'
import { planAttachment } from './attachment.js'
import { type BaseNeeds, type PlanSettings, planBase, stacksOfNode } from './base.js'
import { createDirectPlanner } from './direct.js'
import { type Passage, passagesOf } from './passage.js'
import { planPeer, planSender, stacksOfPeer, subnetsWithoutIpv6 } from './peers.js'
import { ServiceSlices } from './service-slices.js'
import { emptyLayer, type Layer, layerOf, Plan, type Slice } from './slices.js'
import type { Stack, Stacks } from './stack.js'
import { vipRangesOf } from './vips.js'
import { inFamily, sectionOf, wayBackSection } from './way-back.js'

/** Mesh address of an attachment; null: the subnet is exhausted. */
export type AddressOf = (attachmentId: string) => string | null

interface Cached<Value> {
  readonly value: Value
  readonly slice: Slice
}

/** The needs of all together; external addresses in an order that does not depend on the services'. */
function sumOf(needs: readonly BaseNeeds[]): BaseNeeds {
  return {
    aliases: needs.flatMap(({ aliases }) => aliases),
    externals: [...new Set(needs.flatMap(({ externals }) => externals))].sort(),
    nodeEndpoints: needs.some(({ nodeEndpoints }) => nodeEndpoints),
    sctpPorts: needs.flatMap(({ sctpPorts }) => sctpPorts),
  }
}

/** The slices of other nodes; planned anew where one is another. */
class PeerSlices {
  private peers: readonly NodeRecord[] = []
  private planned = new Map<string, Cached<NodeRecord>>()
  /** What several of them may have together: an address, where the record of a node that has a new name is left over, and a section. */
  private common = new Map<string, Slice>()
  /** That of this node. */
  private number = 0
  layer: Layer = emptyLayer
  /** Subnets of those that are not reached in IPv6. */
  without6: readonly string[] = []

  constructor(private readonly settings: PlanSettings) {}

  /** Returns whether they, or some of them, are reached in another way than before. */
  plan({ membership }: Node, stacks: Stacks, passages: ReadonlyMap<Stack, Passage>): boolean {
    const { peers, number } = membership ?? { peers: [], number: 0 }
    const otherNumber = number !== this.number
    if (sameItems(peers, this.peers) && !otherNumber) return false
    if (otherNumber) this.planned.clear()
    this.number = number
    const { ipv6 } = this.settings
    const slices = new Map<string, Slice>()
    const planned = new Map<string, Cached<NodeRecord>>()
    const common = new Map<string, Slice>()
    const share = (name: string, make: () => Slice) => {
      const slice = common.get(name) ?? this.common.get(name) ?? make()
      common.set(name, slice)
      slices.set(name, slice)
    }
    for (const peer of peers) {
      const before = this.planned.get(peer.name)
      const slice =
        before?.value === peer ? before.slice : planPeer(peer, stacksOfPeer(peer, stacks, ipv6), passages)
      planned.set(peer.name, { value: peer, slice })
      slices.set(`peer ${peer.name}`, slice)
      share(`sender ${peer.address}`, () => planSender(peer.address))
      const section = sectionOf(peer.number)
      if (section > 0)
        share(`way back ${section}`, () => stacks.flatMap(stack => inFamily(wayBackSection(section), stack)))
    }
    this.common = common
    this.peers = peers
    this.planned = planned
    this.layer = layerOf(slices)
    const before = this.without6
    this.without6 = subnetsWithoutIpv6(peers, ipv6)
    return otherNumber || !sameItems(this.without6, before)
  }
}

/**
 * A planner for one node. It remembers slices by the identity of what they were made
 * from; an address, once given to an attachment, does not change while it lives.
 */
export function createPlanner(
  settings: PlanSettings,
): (mesh: Mesh, node: Node, addresses: AddressOf) => Plan {
  const services = new ServiceSlices()
  const peers = new PeerSlices(settings)
  let attachments = new Map<string, Cached<Attachment>>()
  const planDirect = createDirectPlanner()
  let base: { readonly node: string; readonly needs: readonly BaseNeeds[]; readonly layer: Layer } | null =
    null

  return (mesh, node, addresses) => {
    const stacks = stacksOfNode(node, settings)
    const vips = vipRangesOf(settings, stacks)
    const sandbox = sandboxAddress(node.subnet)

    const shared = { sandbox, mtu: settings.mtu, stacks, vips, pool: node.pool }
    const attached = new Map<string, Slice>()
    const nextAttachments = new Map<string, Cached<Attachment>>()
    for (const attachment of mesh.attachments) {
      const address = addresses(attachment.id)
      if (address === null) continue
      const before = attachments.get(attachment.id)
      const slice =
        before?.value === attachment
          ? before.slice
          : planAttachment(attachment, containerPlace(attachment.id, attachment.pid), address, shared)
      nextAttachments.set(attachment.id, { value: attachment, slice })
      attached.set(`attachment ${attachment.id}`, slice)
    }
    attachments = nextAttachments

    const passages = passagesOf(node, stacks)
    const otherReach = peers.plan(node, stacks, passages)
    const surroundings = { node, sandbox, addresses, stacks, passages, vips, without6: peers.without6 }
    services.plan(mesh.services, surroundings, otherReach)

    const direct = new Map<string, Slice>()
    for (const [address, slice] of planDirect(services.direct, surroundings))
      direct.set(`direct ${address}`, slice)

    const { needs } = services
    const nodeKey = JSON.stringify({ ...node, membership: { ...node.membership, peers: [] } })
    if (base?.node !== nodeKey || !sameItems(base.needs, needs)) {
      const slice = planBase(node, settings, sumOf(needs))
      base = { node: nodeKey, needs, layer: layerOf(new Map([['node', slice]])) }
    }
    return new Plan([layerOf(attached), services.layer, layerOf(direct), peers.layer, base.layer])
  }
}
