/**
 * The embedded store against real files: durability, order, damage and recovery.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Service } from '../../../src/model/service.js'
import { EmbeddedStore } from '../../../src/store/embedded.js'
import { formatContent, parseContent } from '../../../src/store/embedded-file.js'
import { aService } from '../../helpers/services.js'

const writer = fileURLToPath(new URL('../../helpers/store-writer.js', import.meta.url))

/** A store with everything it delivers and complains of. */
function open(path: string) {
  const store = new EmbeddedStore(path)
  const snapshots: string[][] = []
  const troubles: (string | null | undefined)[] = []
  const start = () =>
    store.start(
      ({ services }) => snapshots.push(namesOf(services)),
      error => troubles.push(error?.message),
    )
  return { store, snapshots, troubles, start }
}

function namesOf(services: readonly Service[]): string[] {
  return services.map(({ name }) => name)
}

async function until(condition: () => boolean, ms = 5000): Promise<void> {
  for (const end = Date.now() + ms; !condition(); ) {
    if (Date.now() > end) throw new Error('it did not happen in time')
    await sleep(10)
  }
}

t.test('a missing file is an empty mesh, and its directory is made with the first update', async t => {
  const path = join(t.testdir(), 'lib', 'mesh', 'mesh.json')
  const { store, snapshots, troubles, start } = open(path)
  start()
  t.same(await store.list(), [])
  t.same(await store.update(() => [aService('web', 8888)]), [aService('web', 8888)])
  t.same(snapshots, [[], ['web']])
  t.same(troubles.filter(Boolean), [])
  await store.close()

  const again = new EmbeddedStore(path)
  t.same(await again.list(), [aService('web', 8888)])
  t.equal(statSync(path).mode & 0o777, 0o640)
  t.same(readdirSync(dirname(path)).sort(), ['mesh.json', 'mesh.json.bak'])
})

t.test('a file that got lost is made again from its copy, and that is told', async t => {
  const path = join(t.testdir(), 'mesh.json')
  await new EmbeddedStore(path).update(() => [aService('web', 8888)])
  rmSync(path)
  const { store, snapshots, troubles, start } = open(path)
  start()
  t.same(namesOf(await store.list()), ['web'])
  t.same(snapshots, [['web']])
  t.match(troubles.at(-1), /mesh\.json is missing; .*\.bak too; going on with revision 1/)
  t.ok(existsSync(path))
  await store.update(services => services)
  t.equal(troubles.at(-1), undefined, 'an update ends the trouble')
  await store.close()

  rmSync(path)
  rmSync(`${path}.bak`)
  t.same(await new EmbeddedStore(path).list(), [], 'without the copy it begins with nothing')
})

t.test('services are kept sorted by name, with every field', async t => {
  const path = join(t.testdir(), 'mesh.json')
  const full = aService('a', 53, {
    selector: { app: 'dns', 'mesh.container': 'x' },
    endpoints: [
      { address: '10.1.2.3', port: 5432 },
      { address: '127.0.0.1', port: null },
    ],
    scheduler: 'wlc',
    drain: 0.5,
  })
  await new EmbeddedStore(path).update(() => [aService('b', 1), full])
  t.same(await new EmbeddedStore(path).list(), [full, aService('b', 1)])
})

t.test('concurrent updates run one after the other and each sees the one before', async t => {
  const path = join(t.testdir(), 'mesh.json')
  const { store, snapshots, start } = open(path)
  start()
  await Promise.all(
    Array.from({ length: 30 }, (_, i) =>
      store.update(services => [...services, aService(`s${String(i).padStart(2, '0')}`, 1000 + i)]),
    ),
  )
  t.equal((await store.list()).length, 30)
  t.same(
    snapshots.map(names => names.length),
    Array.from({ length: 31 }, (_, i) => i),
  )
  t.equal(parseContent(readFileSync(path, 'utf8')).revision, 30)
})

t.test('an update that refuses changes nothing, and the next one works', async t => {
  const path = join(t.testdir(), 'mesh.json')
  const store = new EmbeddedStore(path)
  await store.update(() => [aService('web', 8888)])
  const before = readFileSync(path, 'utf8')
  await t.rejects(
    store.update(() => {
      throw new Error('taken')
    }),
    /taken/,
  )
  await t.rejects(
    store.update(() => [aService('a', 1), aService('a', 2)]),
    { code: 'MESH_STORE' },
  )
  await t.rejects(
    store.update(() => [aService('a', 99999)]),
    { code: 'MESH_STORE' },
  )
  t.equal(readFileSync(path, 'utf8'), before)
  t.equal((await store.update(services => [...services, aService('b', 2)])).length, 2)
})

t.test('a crash at any byte of the new file leaves the old one in force', async t => {
  const path = join(t.testdir(), 'mesh.json')
  await new EmbeddedStore(path).update(() => [aService('old', 1)])
  const next = formatContent({ revision: 2, services: [aService('new', 2)] })
  for (let length = 0; length <= next.length; length++) {
    writeFileSync(`${path}.new`, next.slice(0, length))
    const names = namesOf(await new EmbeddedStore(path).list())
    if (names.join() !== 'old') t.fail(`read ${names} with ${length} bytes written`)
  }
  await new EmbeddedStore(path).update(() => [aService('newer', 3)])
  t.same(namesOf(await new EmbeddedStore(path).list()), ['newer'], 'and the remains are no hindrance')
})

t.test('a process killed while it writes leaves what it had finished', async t => {
  for (const delay of [5, 20, 40, 80]) {
    const path = join(t.testdir(), 'mesh.json')
    const child = spawn(process.execPath, [writer, path, '100000', '2000'])
    let told = ''
    child.stdout.on('data', data => {
      told += String(data)
    })
    await once(child.stdout, 'data')
    await sleep(delay)
    child.kill('SIGKILL')
    await once(child, 'close')
    const finished = Number(told.trim().split('\n').at(-1))
    const kept = (await new EmbeddedStore(path).list()).length
    t.ok(kept === finished || kept === finished + 1, `${finished} told, ${kept} kept`)
  }
})

t.test('a file cut off or overwritten at any byte is replaced by its copy and kept aside', async t => {
  const directory = t.testdir()
  const path = join(directory, 'mesh.json')
  await new EmbeddedStore(path).update(() => [aService('web', 8888)])
  const whole = readFileSync(path, 'utf8')
  for (const damaged of [
    '',
    whole.slice(0, 1),
    whole.slice(0, -3),
    '\0'.repeat(whole.length),
    '[]',
    '{"version":1}',
  ]) {
    writeFileSync(path, damaged)
    const { store, snapshots, troubles, start } = open(path)
    start()
    t.same(namesOf(await store.list()), ['web'])
    t.same(snapshots, [['web']])
    t.match(troubles.at(-1), /mesh\.json is damaged \(.+\), kept as .*mesh\.json\.damaged-.*revision 1/)
    t.equal(readFileSync(path, 'utf8'), whole)
    const [aside = ''] = readdirSync(directory).filter(name => name.includes('damaged'))
    t.equal(readFileSync(join(directory, aside), 'utf8'), damaged)
    await store.update(services => services)
    t.equal(troubles.at(-1), undefined, 'an update ends the trouble')
    await store.close()
    for (const name of readdirSync(directory)) if (name.includes('damaged')) rmSync(join(directory, name))
    await new EmbeddedStore(path).update(() => [aService('web', 8888)])
    writeFileSync(path, whole)
    writeFileSync(`${path}.bak`, whole)
  }
})

t.test(
  'with file and copy damaged nothing is delivered and nothing written, until a person decides',
  async t => {
    const directory = t.testdir({ 'mesh.json': '{"version":1,', 'mesh.json.bak': 'x' })
    const path = join(directory, 'mesh.json')
    utimesSync(path, 1e9, 1e9)
    const { store, snapshots, troubles, start } = open(path)
    start()
    await until(() => troubles.length > 0)
    t.match(troubles[0], /damaged .* remove .*mesh\.json to begin with no services/)
    await t.rejects(store.list(), { code: 'MESH_STORE' })
    await t.rejects(
      store.update(() => [aService('web', 1)]),
      { code: 'MESH_STORE' },
      'built upon nothing it would take the others down',
    )
    t.same(snapshots, [])
    t.equal(readFileSync(path, 'utf8'), '{"version":1,')
    t.same(
      readdirSync(directory).filter(name => name.includes('damaged')),
      ['mesh.json.damaged-20010909T014640Z'],
      'one copy, however often it is tried',
    )
    rmSync(path)
    await until(() => snapshots.length > 0)
    t.same(snapshots, [[]])
    t.equal(troubles.at(-1), undefined)
    await store.close()
  },
)

t.test('a good file put in place of a damaged one is found by itself', async t => {
  const path = join(t.testdir({ 'mesh.json': 'x' }), 'mesh.json')
  const { store, snapshots, troubles, start } = open(path)
  start()
  await until(() => troubles.length > 0)
  writeFileSync(path, formatContent({ revision: 7, services: [aService('web', 1)] }))
  await until(() => snapshots.length > 0)
  t.same(snapshots, [['web']])
  t.equal(troubles.at(-1), undefined)
  await store.close()
})

t.test('a file of a newer version is refused, named and left as it is', async t => {
  const text = '{"version":2,"revision":9,"services":[],"more":true}'
  const directory = t.testdir({
    'mesh.json': text,
    'mesh.json.bak': formatContent({ revision: 1, services: [] }),
  })
  const path = join(directory, 'mesh.json')
  const { store, snapshots, troubles, start } = open(path)
  start()
  await until(() => troubles.length > 0)
  t.match(troubles[0], /mesh\.json: written in format 2 by a newer meshd, and this one reads format 1/)
  await t.rejects(
    store.update(() => []),
    { code: 'MESH_STORE' },
  )
  t.same(snapshots, [])
  t.equal(readFileSync(path, 'utf8'), text)
  t.same(readdirSync(directory).sort(), ['mesh.json', 'mesh.json.bak'])
  await store.close()
})

t.test('a file that cannot be read is no empty mesh', async t => {
  const directory = t.testdir({ 'mesh.json': {} })
  const { store, snapshots, troubles, start } = open(join(directory, 'mesh.json'))
  start()
  await until(() => troubles.length > 0)
  t.match(troubles[0], /read .*mesh\.json: EISDIR/)
  t.same(snapshots, [])
  await store.close()
})

t.test('a file that cannot be written is told to who asked, and memory stays with the file', async t => {
  const directory = t.testdir()
  const path = join(directory, 'mesh.json')
  const { store, snapshots, start } = open(path)
  start()
  await store.update(() => [aService('web', 1)])
  mkdirSync(`${path}.new`)
  await t.rejects(
    store.update(() => []),
    { code: 'MESH_STORE', message: /write .*mesh\.json: EISDIR/ },
  )
  t.same(namesOf(await store.list()), ['web'])
  t.same(snapshots, [[], ['web']])
  rmSync(`${path}.new`, { recursive: true, force: true })
  t.same(await store.update(() => []), [])
})

t.test('a copy that cannot be written fails no update, but is told', async t => {
  const path = join(t.testdir(), 'mesh.json')
  mkdirSync(`${path}.bak`)
  const { store, troubles, start } = open(path)
  start()
  t.same(namesOf(await store.update(() => [aService('web', 1)])), ['web'])
  t.match(troubles.at(-1), /write the copy .*mesh\.json\.bak/)
  rmSync(`${path}.bak`, { recursive: true })
  await store.update(services => services)
  t.equal(troubles.at(-1), undefined)
})

t.test('a file changed by another hand is read again before the next update', async t => {
  const path = join(t.testdir(), 'mesh.json')
  const { store, snapshots, troubles, start } = open(path)
  start()
  await store.update(() => [aService('web', 1)])
  writeFileSync(path, formatContent({ revision: 5, services: [aService('edited', 2)] }))
  t.same(namesOf(await store.update(services => [...services, aService('more', 3)])), ['edited', 'more'])
  t.same(snapshots.slice(-2), [['edited'], ['edited', 'more']])

  writeFileSync(path, 'scribble')
  t.same(namesOf(await store.update(services => services)), ['edited', 'more'], 'memory is the better copy')
  t.ok(
    troubles.some(trouble => trouble?.includes('damaged')),
    'and the damage was told',
  )
  rmSync(path)
  t.same(namesOf(await store.list()), ['edited', 'more'])
  await store.update(services => services)
  t.ok(existsSync(path))
})

t.test('a full disk and a read-only one refuse the update and keep what was there', async t => {
  const directory = t.testdir({ disk: {} })
  const file = join(directory, 'disk', 'mesh.json')
  const write = `'${process.execPath}' '${writer}' '${file}'`
  // In a mount namespace of its own, so that no mount is left behind.
  const script = [
    `mount -t tmpfs -o size=64k tmpfs '${dirname(file)}' || exit 3`,
    `${write} 100 4000`,
    `ls '${dirname(file)}'`,
    `mount -o remount,ro '${dirname(file)}'`,
    `${write} 1`,
  ].join('\n')
  const user = process.getuid?.() === 0 ? [] : ['--map-root-user']
  const { status, stdout, stderr } = spawnSync('unshare', ['--mount', ...user, 'sh', '-c', script], {
    encoding: 'utf8',
  })
  if (status !== 0) return t.plan(0, `needs unshare and mount: ${stderr}`)
  t.match(stdout, /^1\n(\d+\n)+MESH_STORE .*write .*mesh\.json: ENOSPC/)
  t.match(stdout, /\nmesh\.json\nmesh\.json\.bak\n/, 'no half-written file is left')
  t.match(stdout, /MESH_STORE .*write .*mesh\.json: EROFS.*\n$/)
})

t.test('ports and endpoints at addresses of IPv6 are kept', async t => {
  const service = aService('six', 8888, { endpoints: [{ address: '2001:db8::5', port: 5432 }] })
  const ports = service.ports.map(port => ({ ...port, address: 'fd4d::5' }))
  const content = { revision: 1, services: [{ ...service, ports }] }
  t.strictSame(parseContent(formatContent(content)), content)
})
