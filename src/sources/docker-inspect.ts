/**
 * One container looked at from all sides: what Docker says of it, and what the
 * kernel says of its network.
 */
import * as z from 'zod'
import type { Container } from '../model/container.js'
import type { DockerClient } from './docker-client.js'
import { type Inspected, parseInspect } from './docker-container.js'
import { readAddresses } from './fib-trie.js'
import { readIpv6 } from './if-inet6.js'
import { readNetworks } from './route-table.js'

/** Null: there is no such container. Rejects when Docker does not answer, or not as expected. */
export async function inspectContainer(
  client: DockerClient,
  id: string,
  proc: string,
  meshPool: string,
  ipv6: boolean,
): Promise<Inspected | null> {
  const answer = await client.inspect(id)
  if (answer === null) return null
  const result = parseInspect(answer)
  const { pid } = result.container
  const own = pid > 0 && result.container.network !== 'host'
  const [found, network] = await Promise.all([
    own ? readNetwork(pid, proc, meshPool, ipv6) : { addresses: [], networks: [] },
    fullReference(client, result.container.network),
  ])
  return { ...result, container: { ...result.container, ...found, network } }
}

/** What the kernel says of the network of a process; nothing once that has ended. */
export async function readNetwork(
  pid: number,
  proc: string,
  meshPool: string,
  ipv6: boolean,
): Promise<Pick<Container, 'addresses' | 'networks'>> {
  const [addresses, networks, six] = await Promise.all([
    readAddresses(pid, meshPool, proc),
    readNetworks(pid, proc),
    ipv6 ? readIpv6(pid, proc) : { addresses: [], networks: [] },
  ])
  return { addresses: [...addresses, ...six.addresses], networks: [...networks, ...six.networks] }
}

/** `container:NAME` as `container:<full id>`; Docker resolves it itself, some engines keep what was written. */
async function fullReference(
  client: DockerClient,
  network: Container['network'],
): Promise<Container['network']> {
  if (network === 'own' || network === 'host') return network
  const reference = network.slice('container:'.length)
  if (/^[0-9a-f]{64}$/.test(reference)) return network
  const answer = z.object({ Id: z.string() }).safeParse(await client.inspect(reference))
  return answer.success ? `container:${answer.data.Id}` : network
}
