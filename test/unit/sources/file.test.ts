/**
 * A watched file as a source.
 */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { reasonOf } from '../../../src/errors.js'
import type { Service } from '../../../src/model/service.js'
import { FileSource } from '../../../src/sources/file.js'
import { servicesFromFile } from '../../../src/sources/mesh-file.js'

/** What the source tells first of a file with this text: services, or a trouble. */
async function first(t: Test, text: string): Promise<readonly Service[] | string> {
  const source = new FileSource(join(t.testdir({ 'mesh.yaml': text }), 'mesh.yaml'), servicesFromFile)
  try {
    return await new Promise(resolve =>
      source.start(
        ({ services }) => resolve(services),
        error => error && resolve(reasonOf(error)),
      ),
    )
  } finally {
    await source.stop()
  }
}

t.test('a watched file names its VIPs, for nobody chooses one for it', async t => {
  const services = await first(
    t,
    'services:\n  web: {ports: ["8888:80"]}\n  api: {ports: ["8889:80"], vip: 10.253.1.3}\n  db: {vip: 10.253.1.4, vip-ports: [5432]}\n  tasks: {endpoint-mode: dnsrr}\n',
  )
  t.match(services, [
    { name: 'web', vip: null },
    { name: 'api', vip: '10.253.1.3' },
    { name: 'db', vip: '10.253.1.4', ports: [] },
    { name: 'tasks', vip: null, endpointMode: 'dnsrr' },
  ])
})

t.test('what a watched file leaves open, and nothing can be without, is refused', async t => {
  t.match(
    await first(t, 'services:\n  db: {vip-ports: [5432]}\n'),
    /services\.db\.vip "auto": a watched file must name the address; write one of the VIP pool/,
  )
  t.match(
    await first(t, 'services:\n  web: {ports: [80]}\n'),
    /services\.web\.ports "80": a watched file must name the published port/,
  )
})
