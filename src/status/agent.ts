/**
 * What the API server asks of the agent. meshd implements it over the loop and the
 * store; tests give a double that keeps services in memory.
 */
import type { PortRange, Protocol } from '../model/ports.js'
import type { Publication } from '../model/publication.js'
import type { GivenField, ServiceFields } from '../model/service-fields.js'
import type { ApplyRequest } from './requests.js'
import type {
  AdoptView,
  ApplyView,
  ChangeView,
  CleanView,
  NamesView,
  NodeView,
  PublishView,
  RemoveView,
  ServiceView,
  StatusView,
  UnpublishView,
  VersionView,
} from './views.js'

export interface PublishOptions {
  /** Answer only when the port answers: the pass is over and an endpoint is ready. */
  readonly wait: boolean
  /**
   * Fields that a person wrote; the others of the publication are defaults. So adding a
   * port to a service leaves its other settings alone.
   */
  readonly given: ReadonlySet<GivenField>
  /** Aborted when nobody waits any more. */
  readonly gone: AbortSignal
}

/** A published port by its number: what identifies it in the mesh. */
export interface PortKey {
  readonly protocol: Protocol
  readonly published: PortRange
}

/** Every method may throw any MeshError; refusals leave all as it was. */
export interface Agent {
  /** Adds ports and endpoints to the service of that name, or makes it. */
  publish(publication: Publication, options: PublishOptions): Promise<PublishView>
  /** Makes a service with a VIP or a name alone, published nowhere. Throws InputError where there is one of the name. */
  createService(publication: Publication): Promise<PublishView>
  /** Changes these fields of a service and nothing else. */
  setService(name: string, fields: ServiceFields): Promise<PublishView>
  /** Throws InputError for one that is published, unless `force` takes its ports away too. */
  removeService(name: string, options: { readonly force: boolean }): Promise<RemoveView>
  /** Takes one published port from the service, which goes with the last unless it has ports of its VIP. */
  unpublish(port: PortKey, service: string): Promise<UnpublishView>
  /**
   * Makes the ports of a Swarm service that Docker's ingress publishes ports of the mesh.
   * `keep`: leaves Docker's publication in force behind it. Answers when the mesh has them.
   */
  adopt(service: string, options: { readonly keep: boolean }): Promise<AdoptView>
  /** Gives them back. Answers when Swarm has replaced the service's tasks, which may take long. */
  release(service: string): Promise<AdoptView>
  /** Sorted by name. */
  list(): Promise<readonly ServiceView[]>
  status(): Promise<StatusView>
  /** What the next pass would change; changes nothing. */
  plan(): Promise<readonly ChangeView[]>
  /**
   * Publishes every service of a mesh file or compose file, all or none. `name` is
   * the file's name: it is in errors, and its directory is a compose project's name.
   */
  applyFile(file: ApplyRequest): Promise<readonly ApplyView[]>
  /** Throws MESH_NOT_FOUND where names are off. */
  names(): NamesView
  /** By number. */
  nodes(): Promise<readonly NodeView[]>
  /**
   * Asks a node to take no new connections, or to take them again. Throws
   * MESH_NOT_FOUND, and InputError where this is the only node.
   */
  drainNode(name: string, draining: boolean): Promise<NodeView>
  /** Gives a node's place back; returns it as it last was. Throws likewise, and InputError for a live node. */
  removeNode(name: string): Promise<NodeView>
  /** Takes everything of the mesh off the host, and stops the agent once the answer is sent. */
  clean(): Promise<CleanView>
  version(): VersionView
  /** The registry's text for Prometheus. */
  metrics(): Promise<string>
}
