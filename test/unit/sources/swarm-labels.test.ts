/**
 * What the labels of a Swarm service declare, and what is said of wrong ones.
 */
import t from 'tap'
import { formatPort } from '../../../src/model/ports.js'
import { parseLabels } from '../../../src/sources/swarm-labels.js'

t.test('labels have the grammar of the command line', async t => {
  const declared = parseLabels('shop_web', {
    'mesh.publish': '8888:80/tcp, 9000-9010:9000-9010,10.0.0.5:53:53/udp,:81,82',
    'mesh.scheduler': 'lc',
    'mesh.drain': '2m',
    'mesh.endpoint': '10.1.2.3,node',
    'com.docker.stack.namespace': 'shop',
  })
  t.same(declared?.problems, [])
  t.match(declared?.publication, {
    name: 'shop_web',
    selector: { 'com.docker.swarm.service.name': 'shop_web' },
    scheduler: 'lc',
    drain: 120,
    endpoints: [
      { address: '10.1.2.3', port: null },
      { address: '127.0.0.1', port: null },
    ],
  })
  t.same(declared?.publication?.ports.map(formatPort), [
    '8888:80/tcp',
    '9000-9010:9000-9010/tcp',
    '10.0.0.5:53:53/udp',
    '81/tcp',
    '82/tcp',
  ])
})

t.test('without mesh.publish nothing is declared', async t => {
  t.equal(parseLabels('web', {}), null)
  t.equal(parseLabels('web', { app: 'web', 'mesh.drain': 'soon' }), null)
  t.equal(parseLabels('web', { meshed: 'yes', 'com.mesh.publish': '1:1' }), null)
})

t.test('every wrong label is told with its name and what to write instead', async t => {
  const wrong = (labels: Record<string, string>) => parseLabels('web', labels)
  const cases: [Record<string, string>, RegExp[]][] = [
    [{ 'mesh.pubish': '8888:80' }, [/^label mesh\.pubish: .*did you mean mesh\.publish\?$/]],
    [{ 'mesh.publish': '8888:80', 'mesh.colour': 'red' }, [/mesh\.colour: .*it knows mesh\.publish, /]],
    [{ 'mesh.publish': '' }, [/^label mesh\.publish: "": this is not a port specification; write/]],
    [{ 'mesh.publish': '8888:80,99999:80' }, [/^label mesh\.publish: "99999:80": 99999 is outside/]],
    [
      { 'mesh.publish': '8888:eighty', 'mesh.drain': '25h', 'mesh.scheduler': 'robin', 'mesh.endpoint': 'x' },
      [
        /label mesh\.publish: "8888:eighty"/,
        /mesh\.endpoint: "x"/,
        /mesh\.scheduler: "robin"/,
        /mesh\.drain: "25h"/,
      ],
    ],
    [
      { 'mesh.publish': '8000-8001:8000-8001', 'mesh.endpoint': '10.1.2.3:80' },
      [/label mesh\.endpoint: "10\.1\.2\.3:80": one port cannot answer/],
    ],
  ]
  for (const [labels, reasons] of cases) {
    const declared = wrong(labels)
    t.equal(declared?.publication, null)
    t.equal(declared?.problems.length, reasons.length, declared?.problems.join('\n') ?? '')
    for (const [i, reason] of reasons.entries()) t.match(declared?.problems[i], reason)
  }
})
