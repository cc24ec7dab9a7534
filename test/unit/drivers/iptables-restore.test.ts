import t from 'tap'
import { failingLine, restoreLines } from '../../../src/drivers/iptables-restore.js'
import { parseSave } from '../../../src/drivers/iptables-save.js'
import type { Change } from '../../../src/kernel/change.js'
import type { ChainObject, JumpObject } from '../../../src/kernel/objects.js'

const chain = (name: string, rules: string[]): ChainObject => ({
  kind: 'chain',
  place: 'host',
  family: 'inet',
  table: 'nat',
  name,
  rules,
})
const jump = (from: string, to: string, match = ''): JumpObject => ({
  kind: 'jump',
  place: 'host',
  family: 'inet',
  table: 'nat',
  from,
  to,
  match,
})
const add = (object: ChainObject | JumpObject): Change => ({ type: 'add', object })
const remove = (object: ChainObject | JumpObject): Change => ({ type: 'remove', object })

function restoreText(changes: Change[], saved: string): string[] {
  return restoreLines(changes, parseSave(saved)).map(line => line.text)
}

t.test('a new chain and its jump are one committed table', async t => {
  t.strictSame(
    restoreText([add(chain('MESH-A', ['-j RETURN'])), add(jump('OUTPUT', 'MESH-A', '-i x'))], ''),
    ['*nat', ':MESH-A - [0:0]', '-A MESH-A -j RETURN', '-I OUTPUT 1 -i x -j MESH-A', 'COMMIT'],
  )
})

const present =
  '*nat\n:OUTPUT ACCEPT [0:0]\n:DOCKER - [0:0]\n:MESH-A - [0:0]\n-A OUTPUT -p tcp -m tcp --dport 1 -j MESH-A\n' +
  '-A OUTPUT -j DOCKER\n-A OUTPUT -j MESH-A\n-A DOCKER -j MESH-A\nCOMMIT\n'

t.test('every copy of a jump is deleted by its own words before it is put first', async t => {
  const wanted = jump('OUTPUT', 'MESH-A')
  t.strictSame(restoreText([{ type: 'update', object: wanted, from: wanted }], present), [
    '*nat',
    '-D OUTPUT -p tcp -m tcp --dport 1 -j MESH-A',
    '-D OUTPUT -j MESH-A',
    '-I OUTPUT 1 -j MESH-A',
    'COMMIT',
  ])
})

t.test('a chain goes after the jumps to it, also those in chains of others', async t => {
  t.strictSame(restoreText([remove(jump('OUTPUT', 'MESH-A')), remove(chain('MESH-A', []))], present), [
    '*nat',
    '-D OUTPUT -p tcp -m tcp --dport 1 -j MESH-A',
    '-D OUTPUT -j MESH-A',
    '-D DOCKER -j MESH-A',
    '-F MESH-A',
    '-X MESH-A',
    'COMMIT',
  ])
})

t.test('what is so already asks for nothing', async t => {
  t.strictSame(restoreText([remove(jump('OUTPUT', 'MESH-A')), remove(chain('MESH-A', []))], ''), [])
  const inPlace = '*nat\n:OUTPUT ACCEPT [0:0]\n:MESH-A - [0:0]\n-A OUTPUT -j MESH-A\nCOMMIT\n'
  t.strictSame(restoreText([add(jump('OUTPUT', 'MESH-A'))], inPlace), [])
})

t.test('the failing line is read from the words of both variants', async t => {
  t.equal(failingLine('iptables-restore: line 7 failed'), 7)
  t.equal(failingLine('Error occurred at line: 3\nTry more'), 3)
  t.equal(failingLine('iptables-nft-restore v1.8.9 (nf_tables): \nline 5: RULE_APPEND failed'), 5)
  t.equal(failingLine('Permission denied (you must be root)'), null)
})
