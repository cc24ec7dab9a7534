import t from 'tap'
import { parseServices } from '../../../src/sources/docker-swarm.js'

t.test('Swarm’s services are known by name, port and stop grace period', async t => {
  const view = parseServices([
    {
      ID: 'x1',
      Spec: { Name: 'web', TaskTemplate: { ContainerSpec: { StopGracePeriod: 90_000_000_000 } } },
      Endpoint: {
        Ports: [
          { Protocol: 'tcp', TargetPort: 80, PublishedPort: 8080, PublishMode: 'ingress' },
          { Protocol: 'udp', TargetPort: 53, PublishedPort: 53, PublishMode: 'host' },
          { Protocol: 'tcp', TargetPort: 90, PublishMode: 'host' },
        ],
      },
    },
    { ID: 'x2', Spec: { Name: 'api', TaskTemplate: {} }, Endpoint: {} },
  ])
  t.strictSame(view.names, ['api', 'web'])
  t.strictSame(view.ports, [
    { protocol: 'tcp', port: 8080, service: 'web' },
    { protocol: 'udp', port: 53, service: 'web' },
  ])
  t.strictSame([...view.stopTimeouts], [['web', 90]])
})
