/**
 * A container as the mesh sees it, whichever source reported it.
 */
/** `created`: it has not run yet; once it has a PID its first process is there and waits to be started. */
export type ContainerState = 'created' | 'running' | 'paused' | 'restarting' | 'exited'
export type Health = 'none' | 'starting' | 'healthy' | 'unhealthy'

export interface Container {
  /** Full 64-hex-digit id. */
  readonly id: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly state: ContainerState
  readonly health: Health
  /** PID of its first process in the host's PID namespace; 0 when it does not run. */
  readonly pid: number
  /**
   * Whose network it uses: its own, the node's (`--network host`), or that of the
   * container whose id follows (`--network container:…`).
   */
  readonly network: 'own' | 'host' | `container:${string}`
  /** Addresses it has of its own, of IPv6 where the mesh has it (loopback and mesh address left out): sources it may call from. */
  readonly addresses: readonly string[]
  /** Networks it is on itself, the mesh left out: `172.17.0.0/16`. It answers their hosts without a gateway. */
  readonly networks: readonly string[]
  /** A signal that ends it was sent and it has not ended yet. */
  readonly leaving: boolean
  /** Swarm is about to send that signal: its task is to run no more. */
  readonly ending: boolean
  /** Ports Docker itself publishes for it on the node. */
  readonly dockerPorts: readonly { readonly protocol: string; readonly port: number }[]
}

/** What selecting looks at: containers of this node and of others have it alike. */
export type Selectable = Pick<Container, 'id' | 'name' | 'labels'>

/** First 12 digits of the id, as Docker prints it. */
export function shortId(id: string): string {
  return id.slice(0, 12)
}
