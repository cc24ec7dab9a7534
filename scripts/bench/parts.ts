/**
 * The parts of the bench. A new one is a file with a `run` function and a line here.
 */
import { attach } from './attach.js'
import { convergence } from './convergence.js'
import { dns } from './dns.js'
import { endpoints } from './endpoints.js'
import { idle } from './idle.js'
import { ports } from './ports.js'
import { reconcile } from './reconcile.js'
import type { Section } from './report.js'
import { scale } from './scale.js'
import { start } from './start.js'
import { traffic } from './traffic.js'
import { vip } from './vip.js'
import { wayBack } from './way-back.js'

export interface Options {
  /** Fewer rounds, smaller numbers. */
  readonly quick: boolean
}

export interface Part {
  readonly name: string
  /** What is measured, for `--list`. */
  readonly about: string
  /**
   * `kernel`: namespaces in any kernel with IPVS; `nodes`: Docker Engines, in the lab;
   * `machine`: nothing but this one.
   */
  readonly needs: 'kernel' | 'nodes' | 'machine'
  /** Longest time it may take, seconds. */
  readonly limit: number
  /** Whether `--quick` runs it without being told to: these together take under three minutes. */
  readonly inQuick: boolean
  run(options: Options): Promise<Section[]>
}

export const parts: readonly Part[] = [
  {
    name: 'reconcile',
    about:
      'first and idle full passes up to 10,000 services, beside raw netlink and ipvsadm; one endpoint changing',
    needs: 'kernel',
    limit: 600,
    inQuick: true,
    run: reconcile,
  },
  {
    name: 'attach',
    about: 'the pass that puts a started container on the mesh, with 100 others there',
    needs: 'kernel',
    limit: 300,
    inQuick: false,
    run: attach,
  },
  {
    name: 'way-back',
    about: 'what the rules for 1,000 other nodes cost a packet, in a list and in sections',
    needs: 'kernel',
    limit: 300,
    inQuick: false,
    run: wayBack,
  },
  {
    name: 'dns',
    about: 'queries a second and how long an answer takes, beside dnsmasq, also with 2,000 queries pending',
    needs: 'machine',
    limit: 300,
    inQuick: true,
    run: dns,
  },
  {
    name: 'ports',
    about: "connections and throughput at 1 to 10,000 published ports, beside Docker's layout",
    needs: 'kernel',
    limit: 600,
    inQuick: true,
    run: ports,
  },
  {
    name: 'endpoints',
    about: 'how connections are spread over 1 to 1,000 endpoints, and what one costs',
    needs: 'kernel',
    limit: 300,
    inQuick: true,
    run: endpoints,
  },
  {
    name: 'traffic',
    about: "throughput, connections, requests, datagrams: beside Docker's mesh, HAProxy, nginx, DNAT",
    needs: 'nodes',
    limit: 600,
    inQuick: true,
    run: traffic,
  },
  {
    name: 'vip',
    about: "connections to a service's VIP from a container, beside Docker's VIP",
    needs: 'nodes',
    limit: 400,
    inQuick: false,
    run: vip,
  },
  {
    name: 'scale',
    about:
      'from a change in etcd to the plan with 5,000 nodes and 100,000 endpoints, and what one etcd takes',
    needs: 'machine',
    limit: 300,
    inQuick: false,
    run: scale,
  },
  {
    name: 'start',
    about: "from a Docker Engine's start event to the destination in the kernel",
    needs: 'nodes',
    limit: 900,
    inQuick: false,
    run: start,
  },
  {
    name: 'idle',
    about: 'processor time and memory of an agent with nothing to do',
    needs: 'nodes',
    limit: 480,
    inQuick: false,
    run: idle,
  },
  {
    name: 'convergence',
    about: "containers that start and stop, scale and a node's death, beside Docker's ingress",
    needs: 'nodes',
    limit: 1200,
    inQuick: false,
    run: convergence,
  },
]
