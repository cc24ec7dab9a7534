/**
 * What an agent stands on before it does anything: the kernel as it is found, the store, and
 * the node's place in the cluster.
 */
import type { Logger } from 'pino'
import type { Settings } from '../config/table.js'
import { findVariant, type Variant } from '../drivers/iptables-variant.js'
import { Sockets } from '../drivers/sockets.js'
import type { Kernel } from '../kernel/driver.js'
import type { KernelObject } from '../kernel/objects.js'
import type { PlanSettings } from '../planner/base.js'
import { formersOf } from '../planner/rules.js'
import { onlySubnet, planSettings, sysctlsOf } from './derived.js'
import { currentIpForward, formersOfIpv6 } from './former.js'
import type { OwnNode } from './inputs.js'
import { createKernel } from './kernel.js'
import { ownPlaces } from './places.js'
import { join, type Sharing, sharingOf } from './sharing.js'

export interface Ground extends Sharing {
  readonly sockets: Sockets
  readonly kernel: Kernel
  readonly node: OwnNode
  readonly plan: PlanSettings
  /** What the kernel held of the mesh. */
  readonly found: readonly KernelObject[]
}

/** Waits for the store where nothing is known of the node's place. Throws MeshError. */
export async function findGround(settings: Settings, log: Logger): Promise<Ground> {
  const variant = await variantOf(settings, log)
  const sharing = sharingOf(settings)
  const sockets = new Sockets()
  const kernel = createKernel({ variant, ipv6: settings.ipv6, sockets, sysctls: sysctlsOf(settings) })
  const { objects, blind } = await kernel.observe(ownPlaces)
  for (const error of blind.values()) throw error
  const onMoved = () => {
    log.fatal('this node has another place in the cluster than its kernel; start the agent again')
    process.exit(1)
  }
  const joining = { settings, sockets, places: ownPlaces, log, objects, onMoved }
  const place = sharing.cluster && (await join(sharing.cluster, joining))
  const node: OwnNode = {
    name: settings.nodeName,
    subnet: place?.record.subnet ?? onlySubnet(settings),
    pool: settings.pool,
    membership: place?.membership ?? null,
  }
  const formers = formersOf(objects)
  const wasForwarding = formers.some(({ name }) => name === 'net.ipv4.ip_forward') ? '0' : currentIpForward()
  const formers6 = await formersOfIpv6(formers, settings.ipv6, kernel, sockets, ownPlaces)
  const plan = planSettings(settings, wasForwarding, formers6)
  return { ...sharing, sockets, kernel, node, plan, found: objects }
}

async function variantOf(settings: Settings, log: Logger): Promise<Variant> {
  if (settings.iptables !== 'auto') return settings.iptables
  const found = await findVariant(null)
  log.info({ variant: found.variant, reason: found.reason }, 'iptables variant')
  return found.variant
}
