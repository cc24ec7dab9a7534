/**
 * The mesh of a lab's node as a test sees it from outside: the agent by its socket,
 * the sandbox's IPVS by the kernel's own text. Nothing here goes through the code
 * that is tested, but for the API's client.
 */
import { readFileSync } from 'node:fs'
import { type Client, createClient } from '../../src/cli/client.js'
import { fwmarkOf } from '../../src/kernel/ownership.js'
import { runInNamespace } from '../../src/netlink/addon.js'
import type { Node } from './lab.js'
import { runIn } from './namespaces.js'
import { waitFor } from './wait.js'

/** A line of /proc/net/ip_vs that begins with `->`. */
export interface Destination {
  readonly address: string
  readonly port: number
  readonly weight: number
  readonly active: number
  readonly inactive: number
}

/** `0AFE0003` */
function addressOf(hex: string): string {
  return [0, 2, 4, 6].map(at => Number.parseInt(hex.slice(at, at + 2), 16)).join('.')
}

export class NodeMesh {
  constructor(private readonly node: Node) {}

  /** The agent, over its socket: what meshctl talks to, without the second that meshctl takes to start in the lab. */
  get client(): Client {
    return createClient(`/proc/${this.node.pid}/root/run/mesh/mesh.sock`)
  }

  /** Path of the sandbox's namespace, as this process can open it. */
  get sandbox(): string {
    return `/proc/${this.node.pid}/root/run/netns/mesh`
  }

  /** Path of the node's own namespace. */
  get host(): string {
    return `/proc/${this.node.pid}/ns/net`
  }

  /** Path of the namespace of a container of the node. */
  async containerNamespace(container: string): Promise<string> {
    const { State } = await this.node.docker.inspect(container)
    return `/proc/${this.node.pid}/root/proc/${State.Pid}/ns/net`
  }

  /** Runs a command line in the sandbox; words are split at blanks. */
  inSandbox(command: string): string {
    return runIn(this.sandbox, command.split(' '))
  }

  inHost(command: string): string {
    return runIn(this.host, command.split(' '))
  }

  /** Destinations of a published port, those of IPv4; none if it has no virtual service. */
  destinations(port: number, protocol: 'tcp' | 'udp' = 'tcp'): Destination[] {
    const text = runInNamespace(this.sandbox, () => readFileSync('/proc/thread-self/net/ip_vs', 'utf8'))
    const mark = fwmarkOf(protocol, port).toString(16).toUpperCase().padStart(8, '0')
    const found: Destination[] = []
    let ours = false
    for (const line of text.split('\n')) {
      const [first = '', second = '', , weight, active, inactive] = line.trim().split(/\s+/)
      if (first !== '->') ours = first === 'FWM' && second === mark
      else if (ours && !second.startsWith('[') && second.includes(':')) {
        const [address = '', hexPort = ''] = second.split(':')
        found.push({
          address: addressOf(address),
          port: Number.parseInt(hexPort, 16),
          weight: Number(weight),
          active: Number(active),
          inactive: Number(inactive),
        })
      }
    }
    return found
  }

  /** The mesh address of a container that is an endpoint of the service. */
  addressOf(service: string, container: string): Promise<string> {
    return waitFor(
      async () => {
        const { endpoints } = await this.client.inspect(service)
        return endpoints.find(({ id }) => id === container.slice(0, 12))?.address
      },
      `an address of ${container.slice(0, 12)} in ${service}`,
      60,
      0.05,
    )
  }

  /** Weight of one destination; null when it is not there. */
  weight(port: number, address: string, protocol: 'tcp' | 'udp' = 'tcp'): number | null {
    return this.destinations(port, protocol).find(each => each.address === address)?.weight ?? null
  }

  /** Until the port has so many destinations of weight 1, and no other, and leads to them. */
  async settled(port: number, count: number, seconds = 60): Promise<void> {
    await waitFor(
      () => {
        const weights = this.destinations(port).map(({ weight }) => weight)
        if (weights.length !== count || !weights.every(weight => weight === 1)) return false
        // The map's element comes last, and goes first.
        return this.inSandbox('ipset list mesh-tcp').includes(`\n${port} `) === count > 0
      },
      `${count} destinations of port ${port}`,
      seconds,
      0.02,
    )
  }
}
