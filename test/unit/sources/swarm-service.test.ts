/**
 * A Swarm service read and changed over a real socket; only the Engine behind it is made up.
 */
import { createServer } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { SwarmServices, withIngress, withLabel } from '../../../src/sources/swarm-service.js'
import { shortDirectory } from '../../helpers/short-directory.js'

type Answer = readonly [status: number, body: unknown]

/** An Engine that gives these answers to `METHOD /path`, one after the other and the last one for ever. */
async function engine(t: Test, answers: Record<string, Answer[]>) {
  const asked: { path: string; body: unknown }[] = []
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', part => {
      text += part
    })
    request.on('end', () => {
      asked.push({ path: `${request.method} ${request.url}`, body: text === '' ? null : JSON.parse(text) })
      const list = answers[`${request.method} ${request.url?.split('?')[0]}`] ?? [
        [404, { message: 'no such' }],
      ]
      const [status, body] = (list.length > 1 ? list.shift() : list[0])!
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
    })
  })
  const socketPath = join(shortDirectory(t), 'docker.sock')
  await new Promise<void>(resolve => server.listen(socketPath, resolve))
  t.teardown(() => server.close())
  return { swarm: new SwarmServices(socketPath), asked }
}

const published = { Protocol: 'tcp', TargetPort: 80, PublishedPort: 8080, PublishMode: 'ingress' }
const onHost = { Protocol: 'tcp', TargetPort: 90, PublishedPort: 9090, PublishMode: 'host' }
const web = (version: number, more: object = {}) => ({
  ID: 'id1',
  Version: { Index: version },
  Spec: {
    Name: 'web',
    Labels: { tier: 'front' },
    TaskTemplate: { ContainerSpec: { Image: 'web:1' } },
    EndpointSpec: { Mode: 'vip', Ports: [published, onHost] },
  },
  Endpoint: { Ports: [published, onHost] },
  ...more,
})

t.test('a service is read with what its ingress publishes, and how its update goes', async t => {
  const status = { State: 'paused', Message: 'update paused', StartedAt: '2025-01-02T03:04:05Z' }
  const { swarm } = await engine(t, {
    'GET /services/web': [
      [200, web(7)],
      [200, web(8, { UpdateStatus: status })],
    ],
    'GET /tasks': [[200, [{ ID: 'a' }, { ID: 'b' }]]],
  })
  const { ingress, update } = await swarm.read('web')
  t.same(ingress, [{ protocol: 'tcp', published: 8080, target: 80 }])
  t.equal(update, null)
  t.same((await swarm.read('web')).update, { state: 'paused', message: 'update paused' })
  t.equal(await swarm.tasks('web'), 2)
  await t.rejects(swarm.read('api'), { code: 'MESH_NOT_FOUND', message: /no Swarm service of that name/ })
})

t.test('a change keeps all else, and is made of what somebody else wrote meanwhile', async t => {
  const late = { message: 'rpc error: code = Unknown desc = update out of sequence' }
  const { swarm, asked } = await engine(t, {
    'GET /services/web': [
      [200, web(7)],
      [200, web(8)],
    ],
    'POST /services/id1/update': [
      [500, late],
      [200, { Warnings: null }],
    ],
  })
  await swarm.change('web', spec => withIngress(withLabel(spec, 'mesh.publish', '8080:80'), []))
  const writes = asked.filter(({ path }) => path.startsWith('POST'))
  t.same(
    writes.map(({ path }) => path),
    ['/services/id1/update?version=7', '/services/id1/update?version=8'].map(p => `POST ${p}`),
  )
  t.same(writes[1]?.body, {
    Name: 'web',
    Labels: { tier: 'front', 'mesh.publish': '8080:80' },
    TaskTemplate: { ContainerSpec: { Image: 'web:1' } },
    EndpointSpec: { Mode: 'vip', Ports: [onHost] },
  })
  await swarm.change('web', () => null)
  t.equal(asked.filter(({ path }) => path.startsWith('POST')).length, 2, 'nothing to be changed')
})

t.test('what Docker refuses is told in its own words, and who can be asked instead', async t => {
  const reason =
    "rpc error: code = InvalidArgument desc = EndpointSpec: port published with ingress mode can't be used with dnsrr mode"
  const { swarm } = await engine(t, {
    'GET /services/web': [[200, web(7)]],
    'POST /services/id1/update': [[400, { message: reason }]],
  })
  const change = swarm.change('web', spec => withLabel(spec, 'tier', null))
  await t.rejects(change, {
    code: 'MESH_SOURCE',
    message: "docker: EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
  })
  const worker = await engine(t, {
    'GET /services/web': [
      [
        503,
        {
          message:
            "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state.",
        },
      ],
    ],
    'GET /info': [
      [
        200,
        {
          Swarm: {
            RemoteManagers: [
              { NodeID: 'x', Addr: '10.0.0.1:2377' },
              { NodeID: 'y', Addr: '10.0.0.2:2377' },
            ],
          },
        },
      ],
    ],
  })
  await t.rejects(worker.swarm.read('web'), {
    code: 'MESH_SOURCE',
    message: 'docker: this node is no manager of its swarm; ask meshctl on one that is: 10.0.0.1, 10.0.0.2',
  })
  await t.rejects(new SwarmServices('/nowhere.sock').read('web'), {
    message: /there is no socket at \/nowhere\.sock/,
  })
})

t.test('labels and ports of a specification', async t => {
  const spec = { Labels: { a: '1', b: '2' } }
  t.same(withLabel(spec, 'a', null), { Labels: { b: '2' } })
  t.same(withLabel({}, 'a', '1'), { Labels: { a: '1' } })
  t.same(withIngress({ EndpointSpec: null }, [{ protocol: 'udp', published: 53, target: 5353 }]), {
    EndpointSpec: {
      Ports: [{ Protocol: 'udp', TargetPort: 5353, PublishedPort: 53, PublishMode: 'ingress' }],
    },
  })
})
