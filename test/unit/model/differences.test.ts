import t from 'tap'
import { differences, sameItems } from '../../../src/model/differences.js'

t.test('lists are the same by the identity and the order of their items', async t => {
  const [a, b] = [{ name: 'a' }, { name: 'b' }]
  t.ok(sameItems([], []))
  t.ok(sameItems([a, b], [a, b]))
  t.notOk(sameItems([a, b], [b, a]))
  t.notOk(sameItems([a], [a, b]))
  t.notOk(sameItems([a], [{ name: 'a' }]))
})

t.test('what one of two lists alone has is told, wherever it is', async t => {
  const all = Array.from({ length: 100 }, (_, number) => ({ number }))
  const news = { number: -1 }
  t.same(differences(all, all), { gone: [], come: [] })
  t.same(differences(all, [...all, news]), { gone: [], come: [news] })
  t.same(differences([news, ...all], all), { gone: [news], come: [] })
  const replaced = all.map(item => (item.number === 50 ? news : item))
  t.same(differences(all, replaced), { gone: [all[50]], come: [news] })
  const far = differences(all, all.slice(40))
  t.same(far, { gone: all.slice(0, 40), come: [] })
})
