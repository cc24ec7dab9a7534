/**
 * What is left of an adoption or a release that Docker refuses half-way: nothing. Only
 * the Engine is made up, for a real one cannot be made to refuse so late.
 */
import { createServer } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type AdoptLoop, adopt, release } from '../../../src/agent/adopt.js'
import { Collected } from '../../../src/agent/inputs.js'
import { parseLabels } from '../../../src/sources/swarm-labels.js'
import { SwarmServices } from '../../../src/sources/swarm-service.js'
import { aService } from '../../helpers/services.js'
import { shortDirectory } from '../../helpers/short-directory.js'

interface Spec {
  Name: string
  Labels: Record<string, string>
  EndpointSpec: { Ports: object[] }
}

const onIngress = { Protocol: 'tcp', TargetPort: 80, PublishedPort: 8080, PublishMode: 'ingress' }

/** A manager with the service web. `refuse` may refuse an update, `update` is how Swarm says it goes. */
async function manager(t: Test, spec: Omit<Spec, 'Name'>) {
  const engine = {
    spec: { Name: 'web', ...spec } as Spec,
    writes: [] as Spec[],
    update: 'completed',
    refuse: (_: Spec): string | null => null,
  }
  const node = {
    Description: { Hostname: 'node1' },
    Status: { State: 'ready', Addr: '10.0.0.1' },
    ManagerStatus: null,
  }
  const collected = new Collected(['store'], [], {
    name: 'node1',
    subnet: '10.254.0.0/24',
    pool: '10.254.0.0/16',
    membership: null,
  } as never)
  /** The mesh does as the label says. */
  const mirror = () => {
    const ports = parseLabels('web', engine.spec.Labels)?.publication?.ports
    const service = aService('web', 1, { ports: (ports ?? []) as never, declaredBy: 'swarm' })
    collected.putServices('store', { services: ports ? [service] : [] })
  }
  const answers: Record<string, (body: string) => unknown> = {
    'GET /services/web': () => ({
      ID: 'id1',
      Version: { Index: engine.writes.length },
      Spec: engine.spec,
      Endpoint: engine.spec.EndpointSpec,
      UpdateStatus: engine.writes.length > 0 ? { State: engine.update, Message: 'so it is' } : null,
    }),
    'GET /tasks': () => [{}],
    'GET /nodes': () => [node],
    'POST /services/id1/update': body => {
      const wanted = JSON.parse(body) as Spec
      const refusal = engine.refuse(wanted)
      if (refusal) throw new Error(refusal)
      engine.spec = wanted
      engine.writes.push(wanted)
      mirror()
      return {}
    },
  }
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', part => {
      text += part
    })
    request.on('end', () => {
      response.setHeader('Content-Type', 'application/json')
      try {
        const answer = answers[`${request.method} ${request.url?.split('?')[0]}`]!(text)
        response.end(JSON.stringify(answer))
      } catch (error) {
        response.writeHead(500).end(JSON.stringify({ message: (error as Error).message }))
      }
    })
  })
  const socketPath = join(shortDirectory(t), 'docker.sock')
  await new Promise<void>(resolve => server.listen(socketPath, resolve))
  t.teardown(() => server.close())
  mirror()
  const loop = { collected, store: { name: 'store' }, settled: async () => {} } as unknown as AdoptLoop
  const input = {
    loop,
    swarm: new SwarmServices(socketPath),
    labelsInForce: () => true,
    resync: 0,
    hearing: 0,
  }
  return { engine, input, collected }
}

const docker = { Labels: { tier: 'front' }, EndpointSpec: { Ports: [onIngress] } }
const mesh = { Labels: { tier: 'front', 'mesh.publish': '8080:80/tcp' }, EndpointSpec: { Ports: [] } }

t.test('a port changes hands and back', async t => {
  const { engine, input } = await manager(t, docker)
  t.match(await adopt(input, 'web', false), { name: 'web', ports: ['8080:80/tcp'], replacing: true })
  t.same(
    engine.writes.map(({ Labels, EndpointSpec }) => [Labels['mesh.publish'], EndpointSpec.Ports.length]),
    [
      ['8080:80/tcp', 1],
      ['8080:80/tcp', 0],
    ],
    'both publish it in between',
  )
  t.match(await release(input, 'web'), { name: 'web', ports: ['8080:80/tcp'] })
  t.same(engine.spec, { Name: 'web', ...docker })
  t.same(
    engine.writes
      .slice(2)
      .map(({ Labels, EndpointSpec }) => [Labels['mesh.publish'] ?? null, EndpointSpec.Ports.length]),
    [
      ['8080:80/tcp', 1],
      [null, 1],
    ],
  )
})

t.test('a publication that Docker will not give up is its alone again', async t => {
  const { engine, input } = await manager(t, docker)
  engine.refuse = ({ EndpointSpec }) =>
    EndpointSpec.Ports.length === 0 ? 'the manager has had enough' : null
  await t.rejects(adopt(input, 'web', false), {
    code: 'MESH_SOURCE',
    message: 'docker: the manager has had enough; web is as it was',
  })
  t.same(engine.spec, { Name: 'web', ...docker })
  engine.refuse = ({ Labels, EndpointSpec }) =>
    EndpointSpec.Ports.length === 0 || !Labels['mesh.publish'] ? 'not now' : null
  await t.rejects(adopt(input, 'web', false), {
    message: /^docker: not now; web could not be put back as it was: docker: not now; see docker service/,
  })
})

t.test('a release that Swarm gives up leaves the mesh its port', async t => {
  const { engine, input } = await manager(t, mesh)
  engine.update = 'paused'
  await t.rejects(release(input, 'web'), {
    message: 'Swarm gave up replacing the tasks of web: so it is; web is as it was',
  })
  t.same(engine.spec, { Name: 'web', ...mesh })
})

t.test('what was interrupted goes on from where it was', async t => {
  const both = { Labels: mesh.Labels, EndpointSpec: docker.EndpointSpec }
  const adopted = await manager(t, both)
  await adopt(adopted.input, 'web', false)
  t.same(adopted.engine.spec, { Name: 'web', ...mesh })
  t.equal(adopted.engine.writes.length, 1)
  const released = await manager(t, both)
  await release(released.input, 'web')
  t.same(released.engine.spec, { Name: 'web', ...docker })
  t.equal(released.engine.writes.length, 1)
})

t.test('where something else decides about the service, nothing is changed', async t => {
  const { engine, input, collected } = await manager(t, docker)
  collected.putServices('store', { services: [aService('web', 8888)] })
  await t.rejects(adopt(input, 'web', false), { message: /meshctl unpublish 8888:80\/tcp web/ })
  collected.putServices('store', { services: [] })
  await t.rejects(adopt({ ...input, labelsInForce: () => false }, 'web', false), {
    message: /no manager mirrors labels/,
  })
  await t.rejects(release(input, 'web'), { code: 'MESH_BAD_INPUT', message: /no port of it is the mesh’s/ })
  const other = { name: 'node2', number: 2, subnet: '10.254.1.0/24', address: '10.0.0.2', draining: false }
  collected.putCluster('cluster', {
    nodes: [{ ...other, ipv6: null, live: false, told: true }],
    containers: [],
    ending: [],
  })
  await t.rejects(adopt(input, 'web', false), { message: /not be answered any more by node2.*--keep/ })
  t.same(engine.writes, [])
})
