import t from 'tap'
import { InputError } from '../../../src/errors.js'
import { formatSelector, matches, parseSelector } from '../../../src/model/selector.js'
import { composeLabels, container } from '../../helpers/containers.js'

t.test('a selector is read label by label', async t => {
  t.strictSame(parseSelector('app=web,tier=front'), { app: 'web', tier: 'front' })
  t.strictSame(parseSelector(' app = web , b='), { app: 'web', b: '' })
  t.strictSame(parseSelector('query=a=b'), { query: 'a=b' })
  t.equal(formatSelector({ tier: 'front', app: 'web' }), 'app=web,tier=front')
})

t.test('a selector with a nameless, valueless or repeated label is refused', async t => {
  for (const text of ['', ',', 'app', '=web', 'app=web,', 'app=web,app=api', 'a b=c'])
    t.throws(() => parseSelector(text), InputError, text)
})

t.test('a container matches when it carries every label', async t => {
  const web = container('web.1', { labels: { app: 'web', tier: 'front' } })
  t.ok(matches(web, { app: 'web' }))
  t.ok(matches(web, { app: 'web', tier: 'front' }))
  t.notOk(matches(web, { app: 'web', tier: 'back' }))
  t.notOk(matches(web, { app: 'web', zone: 'a' }))
  t.notOk(matches(web, { app: '' }))
  t.notOk(matches(web, { toString: 'web' }), 'inherited properties are no labels')
})

t.test("a container's name is a label too", async t => {
  const web = container('web', { labels: { 'mesh.container': 'other' } })
  t.ok(matches(web, { 'mesh.container': 'web' }))
  t.notOk(matches(web, { 'mesh.container': 'other' }))
})

t.test('the empty selector matches nothing', async t => {
  t.notOk(matches(container('web'), {}))
})

t.test('the container of a docker compose run is no endpoint of its service', async t => {
  const selector = { 'com.docker.compose.project': 'shop', 'com.docker.compose.service': 'web' }
  t.ok(matches(container('a', { labels: composeLabels('shop', 'web') }), selector))
  const oneOff = container('b', { labels: composeLabels('shop', 'web', true) })
  t.notOk(matches(oneOff, selector))
  t.ok(matches(oneOff, { ...selector, 'com.docker.compose.oneoff': 'True' }), 'unless it is asked for')
})
