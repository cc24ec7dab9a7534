import t from 'tap'
import { lineSplitter, parseEvent, sinceParameter } from '../../../src/sources/docker-events.js'

const kill =
  '{"status":"kill","id":"4f","from":"web:1","Type":"container","Action":"kill","Actor":{"ID":"4f","Attributes":{"name":"web","signal":"15"}},"scope":"local","time":1714557600,"timeNano":1714557600123456789}'

t.test('an event keeps its time to the nanosecond', async t => {
  t.strictSame(parseEvent(kill), {
    type: 'container',
    action: 'kill',
    id: '4f',
    attributes: { name: 'web', signal: '15' },
    time: 1714557600123456789n,
  })
})

t.test('what is no event is passed over', async t => {
  for (const line of ['', '{', '[]', '{"Type":"container"}', 'HTTP/1.1 400'])
    t.equal(parseEvent(line), null, line)
})

t.test('events after one are asked for by its time and a nanosecond', async t => {
  t.equal(sinceParameter(1714557600123456789n), '1714557600.123456790')
  t.equal(sinceParameter(1714557600999999999n), '1714557601.000000000')
  t.equal(sinceParameter(1714557600000000004n), '1714557600.000000005')
})

t.test('lines come out whole however the stream is cut, also inside a character', async t => {
  const bytes = Buffer.from('{"name":"wéb"}\n{"name":"zwei"}\n\n{"unfinished"')
  for (let cut = 1; cut < bytes.length; cut++) {
    const lines: string[] = []
    const split = lineSplitter(line => lines.push(line))
    split(bytes.subarray(0, cut))
    split(bytes.subarray(cut))
    t.strictSame(lines, ['{"name":"wéb"}', '{"name":"zwei"}'])
  }
})
