/**
 * Services for tests.
 */
import { type PublishedPort, parsePortSpec } from '../../src/model/ports.js'
import type { Service } from '../../src/model/service.js'

/** A service with one port, 80 inside, all else at its default. */
export function aService(name: string, published: number, fields: Partial<Service> = {}): Service {
  return {
    name,
    ports: [
      {
        protocol: 'tcp',
        published: { first: published, last: published },
        target: { first: 80, last: 80 },
        address: null,
      },
    ],
    selector: null,
    endpoints: [],
    scheduler: 'rr',
    drain: 30,
    vip: null,
    vipPorts: [],
    endpointMode: 'vip',
    persistence: 0,
    weights: [],
    aliases: [],
    scopes: [],
    declaredBy: 'meshctl',
    problems: [],
    ...fields,
  }
}

/** A service whose containers carry the label `app=NAME`; ports as a person writes them, `8888:80`. */
export function service(name: string, specs: readonly string[], fields: Partial<Service> = {}): Service {
  const ports = specs.map(spec => parsePortSpec(spec) as PublishedPort)
  return aService(name, 0, { ports, selector: { app: name }, ...fields })
}

/** What the API tells of a service that has no VIP. */
export const withoutVip = {
  vip: null,
  vipPorts: [],
  vipEndpoints: [],
  endpointMode: 'vip',
  names: [],
  aliases: [],
  scopes: [],
  persistence: 0,
  weights: [],
}
