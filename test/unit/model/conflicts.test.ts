import t from 'tap'
import {
  checkPublication,
  choosePort,
  type PortUse,
  reservedPorts,
  settlePorts,
} from '../../../src/model/conflicts.js'
import { parsePortSpec } from '../../../src/model/ports.js'
import { publicationOf } from '../../../src/model/publication.js'
import { container, containerSnapshot } from '../../helpers/containers.js'
import { listener } from '../../helpers/listeners.js'
import { service as serviceOf } from '../../helpers/services.js'

const asking = (name: string, ...specs: string[]) => publicationOf(name, { ports: specs.map(parsePortSpec) })
const service = (name: string, ...specs: string[]) => serviceOf(name, specs, { selector: null })
const use = (fields: Partial<PortUse> = {}): PortUse => ({
  services: [],
  snapshot: containerSnapshot([]),
  listeners: [],
  reserved: reservedPorts,
  vipPool: null,
  ...fields,
})
/** The refusal's message, or null. */
function refusal(publication: ReturnType<typeof asking>, ports: PortUse): string | null {
  try {
    checkPublication(publication, ports)
    return null
  } catch (error) {
    const { code, message } = error as { code: string; message: string }
    return code === 'MESH_PORT_TAKEN' ? message : `${code}: ${message}`
  }
}

t.test('a port nobody holds may be published', async t => {
  const other = use({
    services: [service('api', '9000:80', '8888:80/udp')],
    listeners: [listener(9001), listener(8888, { protocol: 'udp' })],
  })
  t.equal(refusal(asking('web', '8888:80', '8000-8099:8000-8099', '80'), other), null)
})

t.test('a port a process listens on is refused, and the process named', async t => {
  const held = use({ listeners: [listener(8888)] })
  t.equal(
    refusal(asking('web', '8888:80'), held),
    'publish 8888/tcp: it is in use on this node: nginx (pid 812) listens on 0.0.0.0:8888',
  )
  t.match(refusal(asking('web', '8880-8889:80-89'), held), /^publish 8880-8889\/tcp: 8888 is in use/)
  const nameless = use({ listeners: [listener(8888, { process: null, pid: null })] })
  t.match(refusal(asking('web', '8888:80'), nameless), /a process listens on/)
})

t.test('a listener on another address stands in nobody’s way', async t => {
  const local = use({ listeners: [listener(8888, { address: '127.0.0.1' })] })
  t.match(refusal(asking('web', '8888:80'), local), /listens on 127.0.0.1:8888/)
  t.match(refusal(asking('web', '127.0.0.1:8888:80'), local), /listens on 127.0.0.1:8888/)
  t.equal(refusal(asking('web', '10.0.0.5:8888:80'), local), null)
})

t.test('a port Docker publishes is refused, and container or Swarm service named', async t => {
  const held = use({
    snapshot: containerSnapshot([container('proxy', { dockerPorts: [{ protocol: 'tcp', port: 8888 }] })], {
      swarmPorts: [{ protocol: 'udp', port: 53, service: 'dns', former: false }],
    }),
    listeners: [listener(8888, { process: 'docker-proxy' })],
  })
  t.match(refusal(asking('web', '8888:80'), held), /published by Docker for container proxy/)
  t.match(refusal(asking('web', '53:53/udp'), held), /published by Docker for Swarm service dns/)
  t.equal(refusal(asking('web', '53:53/tcp'), held), null)
})

t.test('labels take over what Docker publishes for their own service, and only that', async t => {
  const dockerd = { process: 'dockerd', pid: 1 }
  const held = (former: boolean) =>
    use({
      snapshot: containerSnapshot([], {
        swarmPorts: [
          { protocol: 'tcp', port: 8080, service: 'web', former },
          { protocol: 'tcp', port: 8081, service: 'api', former },
        ],
      }),
      listeners: [listener(8080, dockerd), listener(8081, dockerd), listener(8082)],
    })
  const declared = (publication: ReturnType<typeof asking>, ports: PortUse) => {
    try {
      return settlePorts(publication, ports, undefined, 'swarm').declaredBy
    } catch (error) {
      return (error as Error).message
    }
  }
  t.equal(declared(asking('web', '8080:80'), held(false)), 'swarm')
  t.equal(declared(asking('web', '8080:80'), held(true)), 'swarm', 'nor what it published until just now')
  t.match(declared(asking('web', '8080-8082:80-82'), held(false)), /8081 is published .* service api/)
  t.match(declared(asking('web', '8081:80'), held(true)), /dockerd \(pid 1\) listens on/)
  t.match(declared(asking('web', '8082:80'), held(false)), /nginx/)
  const others = use({ ...held(true), listeners: [listener(8080)] })
  t.match(declared(asking('web', '8080:80'), others), /nginx/, 'somebody else has it by now')
  t.match(
    refusal(asking('web', '8080:80'), held(false)),
    /--publish-rm 8080 web\), or .*\(meshctl adopt web\)/,
  )
})

t.test('a reserved port is refused, and its purpose named', async t => {
  t.match(refusal(asking('web', '2377:80'), use()), /reserved for Swarm's managers/)
  t.match(refusal(asking('web', '7946:80'), use()), /reserved/)
  t.match(refusal(asking('web', '7946:80/udp'), use()), /reserved/)
  t.match(refusal(asking('web', '4789:80/udp'), use()), /reserved for VXLAN/)
  t.equal(refusal(asking('web', '4789:80/tcp', '2377:80/udp'), use()), null)
  t.match(refusal(asking('web', '4700-4800:4700-4800/udp'), use()), /4789 is reserved/)
  const own = use({ reserved: [{ protocol: 'tcp', port: 9100, purpose: 'the metrics of meshd' }] })
  t.match(refusal(asking('web', '9100:80'), own), /reserved for the metrics of meshd/)
})

t.test('a port is published once in the mesh', async t => {
  const held = use({ services: [service('api', '8000-8099:8000-8099')] })
  t.equal(refusal(asking('web', '8050:80'), held), 'publish 8050/tcp: service api publishes it')
  t.match(
    refusal(asking('web', '10.0.0.5:8050:80'), held),
    /once per protocol in the mesh, even on different addresses/,
  )
  t.equal(
    refusal(asking('web', '8888:80', '8880-8890:80-90'), use()),
    'publish 8880-8890/tcp: web itself publishes 8888/tcp too',
  )
  t.equal(refusal(asking('web', '8050:80/udp'), held), null, 'protocols have ports of their own')
})

t.test('a publication replaces the service of its name', async t => {
  const held = use({ services: [service('web', '8888:80')], listeners: [listener(8888), listener(9999)] })
  t.equal(refusal(asking('web', '8888:8080'), held), null, 'a port it has is not questioned again')
  t.match(refusal(asking('web', '8888:80', '9999:80'), held), /9999\/tcp.*nginx/, 'a new one is')
})

t.test('the lowest free port is chosen', async t => {
  const range = { first: 30000, last: 30005 }
  const held = use({
    services: [service('api', '30000:80'), service('dns', '30002:53/udp')],
    listeners: [listener(30001, { address: '127.0.0.1' })],
    snapshot: containerSnapshot([container('proxy', { dockerPorts: [{ protocol: 'tcp', port: 30002 }] })], {
      swarmPorts: [{ protocol: 'tcp', port: 30003, service: 'old', former: false }],
    }),
    reserved: [{ protocol: 'tcp', port: 30004, purpose: 'tests' }],
  })
  t.equal(choosePort('tcp', held, range), 30005)
  t.equal(choosePort('udp', held, range), 30000)
  t.equal(choosePort('tcp', use()), 30000, 'of the default range')
  t.throws(() => choosePort('tcp', held, { first: 30000, last: 30004 }), {
    code: 'MESH_PORT_TAKEN',
    message: /none of 5 is free, 1 published by the mesh, 4 held by others/,
  })
})

t.test('open ports are settled, each its own', async t => {
  const settled = settlePorts(asking('web', '80', '30001:81', '82', '53/udp'), use())
  t.strictSame(
    settled.ports.map(port => port.published.first),
    [30000, 30001, 30002, 30000],
  )
  t.throws(() => settlePorts(asking('web', '80', '2377:1'), use()), { code: 'MESH_PORT_TAKEN' })
})
