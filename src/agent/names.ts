/**
 * The mesh by names: feeds the resolver after each pass, and tells of it.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import type { Settings } from '../config/table.js'
import { usualForwarding } from '../dns/forward.js'
import { pathsInContainer, usualPaths } from '../dns/resolv-conf.js'
import { Resolver } from '../dns/resolver.js'
import { createNaming } from '../dns/zone-of.js'
import { MeshError } from '../errors.js'
import { sandboxPath } from '../kernel/ownership.js'
import type { Container } from '../model/container.js'
import { offsetIn } from '../model/ipv4.js'
import type { Mesh } from '../model/mesh.js'
import { resolverAddress } from '../model/vips.js'
import { nodeAddress } from '../planner/addresses.js'
import { isReachedIn, subnetsWithoutIpv6 } from '../planner/peers.js'
import { type Stacks, stacksOf } from '../planner/stack.js'
import { type VipRange, vipRangesOf } from '../planner/vips.js'
import type { NamesView } from '../status/views.js'
import type { Loop } from './loop.js'
import { inContainer } from './preflight.js'

const port = 53

export class Names {
  private readonly settings: Settings
  private readonly log: Logger
  /** null: names are off, or there is no address for it. */
  private readonly resolver: Resolver | null
  private readonly addresses: readonly string[]
  private naming = createNaming()
  /** Subnets of nodes that are not reached in IPv6. */
  private without6: readonly string[] = []
  /** What the resolver was last told of; by the mesh, which is another one when any address is. */
  private told: { readonly mesh: Mesh | null; readonly containers: readonly Container[] } = {
    mesh: null,
    containers: [],
  }
  private readonly stacks: Stacks
  private readonly vips: readonly VipRange[]
  private trouble: string | null = null

  constructor(settings: Settings, log: Logger) {
    this.settings = settings
    this.log = log
    const { dns, dnsDomain: domain, dnsTtl: ttl, dnsUpstreams, pool, vipPool, ipv6, pool6 } = settings
    this.stacks = stacksOf(pool, ipv6 ? pool6 : null)
    this.vips = vipRangesOf(settings, this.stacks)
    const resolver =
      dns && vipPool !== null ? this.vips.map(({ address }) => address(resolverAddress(vipPool))) : []
    this.addresses = resolver
    const pools = [...this.stacks.map(({ subnet }) => subnet(pool)), ...this.vips.map(each => each.pool)]
    const onTrouble = (message: string | null) => {
      this.trouble = message
    }
    this.resolver =
      resolver.length === 0
        ? null
        : new Resolver({
            zone: { domain, ttl, resolver, pools },
            port,
            namespace: sandboxPath,
            upstreams: dnsUpstreams,
            resolvConf: inContainer() ? pathsInContainer() : usualPaths,
            forwarding: usualForwarding,
            onTrouble,
          })
  }

  get isOn(): boolean {
    return this.resolver !== null
  }

  /** Answers for others are there at once; for the mesh after the first pass. */
  start(): void {
    this.resolver?.start()
  }

  /** After a pass: what is new goes to the resolver, and its troubles to the status. */
  tell({ reconciler, collected, troubles }: Loop): void {
    if (!this.resolver) return
    this.resolver.look()
    const own = nodeAddress(collected.own.subnet)
    const peers = collected.nodes.nodes.filter(({ name }) => name !== collected.own.name)
    const without6 = subnetsWithoutIpv6(peers, reconciler.settings.ipv6)
    // What is remembered knows an endpoint by its IPv4 address alone.
    const isSame = isDeepStrictEqual(without6, this.without6)
    if (!isSame) this.naming = createNaming()
    this.without6 = without6
    if (troubles.set('dns', this.trouble) && this.trouble) this.log.error(this.trouble)
    const { mesh } = reconciler
    const { containers } = collected.containers
    if (isSame && mesh === this.told.mesh && containers === this.told.containers) return
    this.told = { mesh, containers }
    const { services, callers } = this.naming(mesh.services, containers, {
      ofEndpoint: ({ kind, attachment, address }) =>
        kind === 'node' ? own : attachment === null ? address : reconciler.addressOf(attachment),
      ofContainer: id => reconciler.addressOf(id),
      withTwin: address => this.withTwin(address),
    })
    this.resolver.update(services, callers)
  }

  private withTwin(address: string): string[] {
    const { pool, vipPool } = this.settings
    if (offsetIn(pool, address) !== null)
      return this.stacks.flatMap(stack =>
        isReachedIn(stack, address, this.without6) ? stack.address(address) : [],
      )
    if (vipPool !== null && offsetIn(vipPool, address) !== null)
      return this.vips.map(range => range.address(address))
    return [address]
  }

  stop(): Promise<void> {
    return this.resolver?.stop() ?? Promise.resolve()
  }

  /** Throws MESH_NOT_FOUND where there is no resolver. */
  get view(): NamesView {
    if (!this.resolver)
      throw new MeshError(
        'MESH_NOT_FOUND',
        'this node answers no DNS queries: meshd was started with --dns off or --vip-pool none',
      )
    const { dnsDomain: domain, dnsTtl: ttl } = this.settings
    const { served, upstreams, counts } = this.resolver
    return {
      domain,
      ttl,
      addresses: this.addresses,
      served,
      upstreams: upstreams.map(({ address, port }) => (port === 53 ? address : `${address} port ${port}`)),
      queries: counts,
    }
  }
}
