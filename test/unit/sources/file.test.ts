/**
 * A watched file as a source.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { reasonOf } from '../../../src/errors.js'
import type { Service } from '../../../src/model/service.js'
import { FileSource } from '../../../src/sources/file.js'
import { servicesFromFile } from '../../../src/sources/mesh-file.js'
import { waitFor } from '../../helpers/wait.js'

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

const fileOf = (name: string) => `services:\n  ${name}: {ports: ["8888:80"]}\n`

/** A source on a file, and the names of the services that it told of last. */
function watching(t: Test, path: string, parse = servicesFromFile) {
  const source = new FileSource(path, parse)
  const told: string[] = []
  source.start(
    ({ services }) => told.push(services.map(({ name }) => name).join()),
    error => error && told.push('trouble'),
  )
  t.teardown(() => source.stop())
  return (wanted: string) => waitFor(() => told.at(-1) === wanted, `${wanted} rather than ${told}`, 60)
}

t.test('what is written while the file is read for the first time is not missed', async t => {
  const path = join(t.testdir({ 'mesh.yaml': fileOf('old') }), 'mesh.yaml')
  let isFirst = true
  const last = watching(t, path, (text, name) => {
    if (isFirst) writeFileSync(path, fileOf('new'))
    isFirst = false
    return servicesFromFile(text, name)
  })
  await last('new')
})

t.test('changes are seen behind a link, and of a file whose directory is replaced', async t => {
  const directory = t.testdir({ etc: {}, real: { 'web.yaml': fileOf('web') } })
  const [etc, real] = [join(directory, 'etc'), join(directory, 'real', 'web.yaml')]
  symlinkSync(real, join(etc, 'mesh.yaml'))
  const last = watching(t, join(etc, 'mesh.yaml'))
  await last('web')
  writeFileSync(real, fileOf('api'))
  await last('api')
  for (const name of ['db', 'shop']) {
    mkdirSync(join(directory, 'next'))
    writeFileSync(join(directory, 'next', 'mesh.yaml'), fileOf(name))
    rmSync(etc, { recursive: true })
    renameSync(join(directory, 'next'), etc)
    await last(name)
  }
})

t.test('variables beside it are read again, also in a directory that replaced another', async t => {
  const directory = t.testdir({ etc: { 'mesh.yaml': '', '.env': 'web' } })
  const etc = join(directory, 'etc')
  const last = watching(t, join(etc, 'mesh.yaml'), (_, path) =>
    servicesFromFile(fileOf(readFileSync(join(dirname(path), '.env'), 'utf8')), path),
  )
  await last('web')
  mkdirSync(join(directory, 'next'))
  for (const [name, text] of Object.entries({ 'mesh.yaml': '# new', '.env': 'api' }))
    writeFileSync(join(directory, 'next', name), text)
  rmSync(etc, { recursive: true })
  renameSync(join(directory, 'next'), etc)
  await last('api')
  await sleep(4000) // until the file itself is looked at no more because of that
  writeFileSync(join(etc, '.env'), 'shop')
  await last('shop')
})

t.test('a file that is away or makes no sense changes nothing, and is read once it does', async t => {
  const path = join(t.testdir({ 'mesh.yaml': 'services: [' }), 'mesh.yaml')
  const last = watching(t, path)
  await last('trouble')
  writeFileSync(path, fileOf('web'))
  await last('web')
  rmSync(path)
  await last('trouble')
  writeFileSync(path, fileOf('api'))
  await last('api')
})
