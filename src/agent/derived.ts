/**
 * What follows from the settings, and from nothing else but the machine's addresses.
 */
import { networkInterfaces, release } from 'node:os'
import { dirname } from 'node:path'
import { checkPool } from '../config/pool.js'
import type { Settings } from '../config/table.js'
import type { SysctlObject } from '../kernel/objects.js'
import { meshLink, sandboxPath } from '../kernel/ownership.js'
import { subnetOfNode } from '../model/cluster.js'
import { type ReservedPort, reservedPorts } from '../model/conflicts.js'
import type { Publication } from '../model/publication.js'
import { checkVip } from '../model/vips.js'
import { noNeeds, type PlanSettings, planBase } from '../planner/base.js'
import type { Former } from '../planner/rules.js'
import { servicesFromFile } from '../sources/mesh-file.js'
import { environmentOf } from './compose-environment.js'

/** The node's share of the pool while there is one node only; the configuration has seen that it fits. */
export function onlySubnet({ pool, nodePrefix }: Settings): string {
  return subnetOfNode(pool, nodePrefix, 1)!
}

export function planSettings(
  settings: Settings,
  formerIpForward: '0' | '1',
  formers: readonly Former[],
): PlanSettings {
  const { mtu, tcpTimeout, tcpFinTimeout, udpTimeout, vipPool, vipPool6 } = settings
  return {
    sandboxPath,
    mtu,
    tcpTimeout,
    tcpFinTimeout,
    udpTimeout,
    kernelRelease: release(),
    formerIpForward,
    ipv6: settings.ipv6 ? { pool: settings.pool6, formers } : null,
    vipPool6,
    vipPool,
  }
}

/** The parameters that any plan sets; their names depend on no node. */
export function sysctlsOf(settings: Settings): SysctlObject[] {
  const subnet = onlySubnet(settings)
  const anyNode = { name: '', subnet, pool: settings.pool, addresses: [], membership: null }
  return planBase(anyNode, planSettings(settings, '1', []), noNeeds).filter(
    object => object.kind === 'sysctl',
  )
}

/** Ports that nobody may publish on this node. */
export function reservedOf(settings: Settings): ReservedPort[] {
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
export function checkPools({ pool, vipPool, ipv6, pool6, vipPool6 }: Settings): void {
  const addresses = hostAddresses()
  checkPool(pool, addresses, meshLink)
  if (vipPool) checkPool(vipPool, addresses, meshLink, 'vip-pool')
  if (ipv6) checkPool(pool6, addresses, meshLink, 'pool6')
  if (ipv6 && vipPool) checkPool(vipPool6, addresses, meshLink, 'vip-pool6')
}

function hostAddresses(): { link: string; address: string }[] {
  return Object.entries(networkInterfaces()).flatMap(([link, list]) =>
    (list ?? []).flatMap(({ cidr }) => (cidr && !cidr.startsWith('fe80:') ? [{ link, address: cidr }] : [])),
  )
}

/** Reads a watched file. It is no store where a VIP could be refused later, so that is done here. */
export function servicesOfFile(vipPool: string | null): (text: string, path: string) => Publication[] {
  return (text, path) => {
    const publications = servicesFromFile(text, path, environmentOf(text, dirname(path)))
    for (const { name: service, vip } of publications)
      if (vip !== 'auto' && vip !== 'none') checkVip(vip, vipPool, `services.${service}.vip`)
    return publications
  }
}
