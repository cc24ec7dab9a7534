/**
 * Mesh → what this node's kernel should hold. Pure. The plan comes in slices, one
 * for the node itself, one for each service, attachment and other node; a slice of which
 * nothing changed is the same array as last time, so that one change costs the work
 * of one slice.
 */
import { isDeepStrictEqual } from 'node:util'
import { containerPlace, type KernelObject, keyOf } from '../kernel/objects.js'
import type { NodeRecord } from '../model/cluster.js'
import type { Attachment, Mesh, MeshService } from '../model/mesh.js'
import type { Node } from '../model/snapshot.js'
import { sandboxAddress } from './addresses.js'
import { planAttachment } from './attachment.js'
import { type BaseNeeds, noNeeds, type PlanSettings, planBase, stacksOfNode } from './base.js'
import { createDirectPlanner } from './direct.js'
import { planPeer, stacksOfPeer, subnetsWithoutIpv6 } from './peers.js'
import { planService } from './service.js'
import { type Unit, unitsOf } from './units.js'
import { vipRangesOf } from './vips.js'
import { inFamily, sectionOf, wayBackSection } from './way-back.js'

export type Slice = readonly KernelObject[]
/** Slices by name: `node`, `service NAME`, `direct ADDRESS`, `attachment ID`, `peer NAME`, `way back SECTION`. */
export type Plan = ReadonlyMap<string, Slice>

/** Mesh address of an attachment; null: the subnet is exhausted. */
export type AddressOf = (attachmentId: string) => string | null

export function planOf(slices: Plan): KernelObject[] {
  return [...slices.values()].flat()
}

const keys = new WeakMap<Slice, readonly string[]>()

/** Objects by key. The keys of a slice are made once, however often it is asked for. */
export function stateOfSlices(slices: Iterable<Slice>): Map<string, KernelObject> {
  const state = new Map<string, KernelObject>()
  for (const slice of slices) {
    const own = keys.get(slice) ?? slice.map(keyOf)
    keys.set(slice, own)
    for (let i = 0; i < own.length; i++) state.set(own[i] as string, slice[i] as KernelObject)
  }
  return state
}

interface Cached<Value> {
  readonly value: Value
  readonly slice: Slice
}

interface CachedService extends Cached<MeshService> {
  readonly needs: BaseNeeds
  /** Whether every endpoint and caller had an address. */
  readonly complete: boolean
}

function unboundSctpPorts({ protocol, ports, address, aliases }: Unit): number[] {
  if (protocol !== 'sctp') return []
  const others = aliases.filter(alias => alias.address === null).map(({ port }) => port)
  return address === null ? [...ports, ...others] : others
}

/** What a service asks of the node's own slice; `noNeeds` itself for nothing. */
function needsOf({ endpoints }: MeshService, units: readonly Unit[]): BaseNeeds {
  const needs = {
    aliases: units.flatMap(unit => unit.aliases.map(alias => ({ unit, alias }))),
    externals: endpoints.flatMap(({ kind, address }) => (kind === 'external' ? [address!] : [])),
    nodeEndpoints: endpoints.some(({ kind }) => kind === 'node'),
    sctpPorts: units.flatMap(unboundSctpPorts),
  }
  return isDeepStrictEqual(needs, noNeeds) ? noNeeds : needs
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

function sameItems<Item>(some: readonly Item[], others: readonly Item[]): boolean {
  return some.length === others.length && some.every((item, i) => item === others[i])
}

/**
 * A planner for one node. It remembers slices by the identity of what they were made
 * from; an address, once given to an attachment, does not change while it lives.
 */
export function createPlanner(
  settings: PlanSettings,
): (mesh: Mesh, node: Node, addresses: AddressOf) => Plan {
  let services = new Map<string, CachedService>()
  let peers = new Map<string, Cached<NodeRecord>>()
  let attachments = new Map<string, Cached<Attachment>>()
  const planDirect = createDirectPlanner()
  const sections = new Map<number, Slice>()
  let without6: readonly string[] = []
  let base: { readonly node: string; readonly needs: readonly BaseNeeds[]; readonly slice: Slice } | null =
    null

  return (mesh, node, addresses) => {
    const slices = new Map<string, Slice>()
    const nextPeers = new Map<string, Cached<NodeRecord>>()
    const nextServices = new Map<string, CachedService>()
    const nextAttachments = new Map<string, Cached<Attachment>>()
    const needs: BaseNeeds[] = []
    const stacks = stacksOfNode(node, settings)
    const vips = vipRangesOf(settings, stacks)
    const sandbox = sandboxAddress(node.subnet)

    const without6Before = without6
    without6 = subnetsWithoutIpv6(node.membership?.peers ?? [], settings.ipv6)
    const sameReach = sameItems(without6, without6Before)
    const surroundings = { node, sandbox, addresses, stacks, vips, without6 }

    const planned = (service: MeshService, before: CachedService | undefined): CachedService => {
      const units = unitsOf(service.service)
      const needs = needsOf(service, units)
      return {
        value: service,
        slice: planService(service, surroundings),
        needs: before && isDeepStrictEqual(before.needs, needs) ? before.needs : needs,
        complete:
          service.endpoints.every(
            ({ kind, attachment }) => kind !== 'container' || addresses(attachment!) !== null,
          ) && service.callers.every(({ id, attached }) => !attached || addresses(id) !== null),
      }
    }

    for (const attachment of mesh.attachments) {
      const address = addresses(attachment.id)
      if (address === null) continue
      const before = attachments.get(attachment.id)
      const slice =
        before?.value === attachment
          ? before.slice
          : planAttachment(
              attachment,
              containerPlace(attachment.id, attachment.pid),
              address,
              sandbox,
              settings.mtu,
              stacks,
              vips,
              node.pool,
            )
      nextAttachments.set(attachment.id, { value: attachment, slice })
      slices.set(`attachment ${attachment.id}`, slice)
    }

    for (const service of mesh.services) {
      const { name } = service.service
      const before = services.get(name)
      const isSame = before?.value === service && before.complete && sameReach
      const next = isSame ? before : planned(service, before)
      nextServices.set(name, next)
      slices.set(`service ${name}`, next.slice)
      if (next.needs !== noNeeds) needs.push(next.needs)
    }

    for (const [address, slice] of planDirect(mesh.services, surroundings))
      slices.set(`direct ${address}`, slice)

    for (const peer of node.membership?.peers ?? []) {
      const before = peers.get(peer.name)
      const slice =
        before?.value === peer ? before.slice : planPeer(peer, stacksOfPeer(peer, stacks, settings.ipv6))
      nextPeers.set(peer.name, { value: peer, slice })
      slices.set(`peer ${peer.name}`, slice)
      const section = sectionOf(peer.number)
      if (section === 0) continue
      const frame = sections.get(section) ?? stacks.flatMap(stack => inFamily(wayBackSection(section), stack))
      sections.set(section, frame)
      slices.set(`way back ${section}`, frame)
    }

    const nodeKey = JSON.stringify({ ...node, membership: { ...node.membership, peers: [] } })
    if (base?.node !== nodeKey || !sameItems(base.needs, needs))
      base = { node: nodeKey, needs, slice: planBase(node, settings, sumOf(needs)) }
    slices.set('node', base.slice)

    services = nextServices
    peers = nextPeers
    attachments = nextAttachments
    return slices
  }
}
