import t from 'tap'
import { InputError } from '../../../src/errors.js'
import { matchesByName, parseServiceName, resolveName, standsFor } from '../../../src/model/names.js'
import { composeLabels, container, containerSnapshot, swarmTask } from '../../helpers/containers.js'

t.test('names of services are letters, digits and _ . -, with at most one slash', async t => {
  for (const name of ['web', 'a', 'shop_web.1', 'shop/web', '0-a']) t.equal(parseServiceName(name), name)
  for (const name of [
    '',
    '/',
    'web/',
    '/web',
    'a/b/c',
    '-web',
    '.web',
    'we b',
    'wéb',
    'a/-b',
    'x'.repeat(129),
  ])
    t.throws(() => parseServiceName(name), InputError, name)
})

t.test('a Swarm service is found by its name, also one without a task here', async t => {
  const selector = { 'com.docker.swarm.service.name': 'web' }
  t.strictSame(resolveName('web', containerSnapshot([], { swarmServices: ['api', 'web'] })), selector)
  const task = container('web.1.x', { labels: swarmTask('web') })
  t.strictSame(resolveName('web', containerSnapshot([task])), selector)
})

t.test('a compose service is found by its name or by project/name', async t => {
  const snapshot = containerSnapshot([
    container('shop-web-1', { labels: composeLabels('shop', 'web') }),
    container('shop-web-2', { labels: composeLabels('shop', 'web') }),
    container('blog-db-1', { labels: composeLabels('blog', 'db') }),
  ])
  const selector = { 'com.docker.compose.project': 'shop', 'com.docker.compose.service': 'web' }
  t.strictSame(resolveName('web', snapshot), selector)
  t.strictSame(resolveName('shop/web', snapshot), selector)
  t.equal(resolveName('blog/web', snapshot), null)
})

t.test('a compose service in two projects must be told apart', async t => {
  const snapshot = containerSnapshot([
    container('shop-web-1', { labels: composeLabels('shop', 'web') }),
    container('blog-web-1', { labels: composeLabels('blog', 'web') }),
  ])
  const error = t.throws(() => resolveName('web', snapshot), InputError) as InputError
  t.equal(
    error.message,
    'service "web": 2 compose projects have a service of this name; write one of blog/web, shop/web',
  )
  t.match(resolveName('blog/web', snapshot), { 'com.docker.compose.project': 'blog' })
})

t.test('a container is found by its name', async t => {
  t.strictSame(resolveName('web', containerSnapshot([container('web')])), { 'mesh.container': 'web' })
})

t.test('Swarm goes before compose, compose before a container', async t => {
  const plain = container('web')
  const compose = container('shop-web-1', { labels: composeLabels('shop', 'web') })
  const task = container('web.1.x', { labels: swarmTask('web') })
  t.match(resolveName('web', containerSnapshot([plain, compose, task])), {
    'com.docker.swarm.service.name': 'web',
  })
  t.match(resolveName('web', containerSnapshot([plain, compose])), { 'com.docker.compose.service': 'web' })
})

t.test('a name that nothing bears is kept as it is', async t => {
  t.equal(resolveName('web', containerSnapshot([container('api')])), null)
  const oneOff = container('run', { labels: composeLabels('shop', 'web', true) })
  t.equal(resolveName('web', containerSnapshot([oneOff])), null, 'docker compose run is no service')
})

t.test('a container bears the name of its service, its compose service or its own', async t => {
  t.ok(matchesByName(container('web'), 'web'))
  t.ok(matchesByName(container('x', { labels: swarmTask('web') }), 'web'))
  const compose = container('x', { labels: composeLabels('shop', 'web') })
  t.ok(matchesByName(compose, 'web'))
  t.ok(matchesByName(compose, 'shop/web'))
  t.notOk(matchesByName(compose, 'blog/web'))
  t.notOk(matchesByName(compose, 'shop'))
  t.notOk(matchesByName(container('x', { labels: composeLabels('shop', 'web', true) }), 'web'))
})

t.test('a selector that a name stands for is told from one that somebody chose', async t => {
  const compose = (project: string, service: string) => ({
    'com.docker.compose.project': project,
    'com.docker.compose.service': service,
  })
  for (const [name, selector] of [
    ['web', { 'com.docker.swarm.service.name': 'web' }],
    ['web', { 'mesh.container': 'web' }],
    ['web', compose('shop', 'web')],
    ['shop/web', compose('shop', 'web')],
  ] as const)
    t.ok(standsFor(name, selector), JSON.stringify(selector))
  for (const [name, selector] of [
    ['web', { app: 'web' }],
    ['web', { 'mesh.container': 'other' }],
    ['web', { 'mesh.container': 'web', app: 'web' }],
    ['web', compose('shop', 'api')],
    ['blog/web', compose('shop', 'web')],
    ['web', {}],
  ] as const)
    t.notOk(standsFor(name, selector), JSON.stringify(selector))
})
