/**
 * The mesh: which endpoints each service has, and which containers must therefore be
 * attached to it. Made of all snapshots by merge.ts.
 */
import type { Caller } from './callers.js'
import type { PortRange } from './ports.js'
import type { Service } from './service.js'

/** `true` on a container that is to be on the mesh though it may be no endpoint. */
export const attachLabel = 'mesh.attach'

/** Only `ready` endpoints get new connections; the others keep those they have, for the drain time. */
export type EndpointState = 'ready' | 'starting' | 'unhealthy' | 'paused' | 'leaving'

/**
 * What is known of an endpoint by itself. `ending`: Swarm is about to stop it. It is `leaving`
 * where another endpoint of the service is ready, and stands in for it as long as none is.
 */
export type CandidateState = EndpointState | 'ending'

export interface Endpoint {
  /** Container id, or the address it was given by. */
  readonly id: string
  /** Container's name, or the address. */
  readonly name: string
  /**
   * Where it is reached: `container` through its own veth, `node` at the node's mesh
   * address (a process or a host-network container), `remote` at the mesh address it
   * has on another node, `external` at an address the mesh does not own.
   */
  readonly kind: 'container' | 'node' | 'remote' | 'external'
  /** Id of the container whose network namespace it uses; null unless kind is `container`. */
  readonly attachment: string | null
  /** IPv4 address, of an external one perhaps IPv6; null unless kind is `remote` or `external`. */
  readonly address: string | null
  /** Port instead of the published port's target; null: the target. */
  readonly port: number | null
  readonly state: EndpointState
  /** Share of new connections while it is ready; 0: none of them. */
  readonly weight: number
}

export interface MeshService {
  readonly service: Service
  readonly endpoints: readonly Endpoint[]
  /** Containers of this node that share a scope with it; none where everybody may call. */
  readonly callers: readonly Caller[]
}

/** A container's network namespace that is to be on the mesh. */
export interface Attachment {
  readonly id: string
  readonly pid: number
  /** Addresses of its own that it may call from. */
  readonly addresses: readonly string[]
  /** Networks it is on besides the mesh. */
  readonly networks: readonly string[]
  /** Ports on which its endpoints answer datagrams. */
  readonly udpPorts: readonly PortRange[]
}

export interface Mesh {
  readonly services: readonly MeshService[]
  readonly attachments: readonly Attachment[]
}
