import t from 'tap'
import { isShared } from '../../../src/agent/preflight.js'

const root = '530 459 0:56 / / rw,relatime - overlay overlay rw,lowerdir=/a'
const run = (optional: string) => `700 530 0:23 / /run rw,nosuid ${optional}- tmpfs tmpfs rw,mode=755`

t.test('a mount is shared when the innermost one that holds the path is', async t => {
  const path = '/run/netns/mesh'
  t.ok(isShared(`${root}\n${run('shared:5 ')}\n`, path))
  t.ok(isShared(`${root}\n${run('shared:5 master:2 ')}\n`, path))
  t.notOk(isShared(`${root}\n${run('')}\n`, path), 'private')
  t.notOk(isShared(`${root}\n${run('master:5 ')}\n`, path), 'what is mounted there stays here')
  t.notOk(
    isShared(`${root.replace('- ', 'shared:1 - ')}\n${run('')}\n`, path),
    'the outer one does not count',
  )
  t.notOk(
    isShared(`${root}\n${run('shared:5 ').replace(' /run ', ' /run/net ')}\n`, path),
    'another directory',
  )
  t.notOk(isShared('', path))
  const covered = `${root}\n${run('shared:5 ')}\n${run('')}\n`
  t.notOk(isShared(covered, path), 'the one on top counts')
})
