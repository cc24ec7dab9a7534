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
    {
      ID: 'x2',
      Spec: { Name: 'api', TaskTemplate: {} },
      Endpoint: {},
      PreviousSpec: { Name: 'api', EndpointSpec: { Ports: [{ Protocol: 'tcp', PublishedPort: 8081 }] } },
    },
  ])
  t.strictSame(view.names, ['api', 'web'])
  t.strictSame(view.ports, [
    { protocol: 'tcp', port: 8081, service: 'api', former: true },
    { protocol: 'tcp', port: 8080, service: 'web', former: false },
    { protocol: 'udp', port: 53, service: 'web', former: false },
  ])
  t.strictSame([...view.stopTimeouts], [['web', 90]])
})
