import { readFileSync } from 'node:fs'
import t from 'tap'
import { findJumps, observedObjects, parseSave } from '../../../src/drivers/iptables-save.js'
import { keyOf, stateOf } from '../../../src/kernel/objects.js'

const fixtures = new URL('../../../../test/fixtures/iptables/', import.meta.url)
const saved = (variant: string) => parseSave(readFileSync(new URL(`${variant}.txt`, fixtures), 'utf8'))

t.test('both variants show the same objects of ours and nothing of others', async t => {
  const [legacy, nft] = ['legacy', 'nft'].map(variant => {
    const objects = observedObjects(saved(variant), 'host')
    return objects.sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
  })
  t.strictSame(legacy, nft)
  t.strictSame(
    [...stateOf(legacy!).keys()],
    [
      'chain host filter MESH-FORWARD',
      'chain host mangle MESH-MARK',
      'chain host nat MESH-INGRESS',
      'chain host nat MESH-SOURCE',
      'chain host raw MESH-RAW',
      'jump host filter FORWARD MESH-FORWARD',
      'jump host mangle FORWARD MESH-MARK',
      'jump host nat OUTPUT MESH-INGRESS',
      'jump host nat POSTROUTING MESH-SOURCE',
      'jump host nat PREROUTING MESH-INGRESS',
      'jump host raw PREROUTING MESH-RAW',
    ],
  )
})

const text = (rules: string[]) =>
  `*filter\n:FORWARD ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n:MESH-A - [0:0]\n:MESH-B - [0:0]\n${rules.join('\n')}\nCOMMIT\n`

function jumpMatches(rules: string[]): string[] {
  return observedObjects(parseSave(text(rules)), 'host').flatMap(object =>
    object.kind === 'jump' ? [`${object.to}: ${object.match}`] : [],
  )
}

t.test('a jump is in place when only jumps of ours stand before it', async t => {
  t.strictSame(
    jumpMatches(['-A FORWARD -j MESH-A', '-A FORWARD -i x -j MESH-B', '-A FORWARD -j DOCKER-USER']),
    ['MESH-A: ', 'MESH-B: -i x'],
  )
})

t.test('a displaced jump and a doubled one are seen as different from any wanted one', async t => {
  t.strictSame(jumpMatches(['-A FORWARD -j DOCKER-USER', '-A FORWARD -j MESH-A']), ['MESH-A: (at rule 2)'])
  t.strictSame(jumpMatches(['-A FORWARD -i x -j MESH-A', '-A FORWARD -j MESH-A']), [
    'MESH-A: -i x (2 copies)',
  ])
})

t.test('jumps out of chains of others are found but are no objects', async t => {
  const rules = ['-A DOCKER-USER -s 10.0.0.1/32 -j MESH-A']
  t.strictSame(jumpMatches(rules), [])
  t.match(findJumps(parseSave(text(rules)).get('filter')!), [{ from: 'DOCKER-USER', to: 'MESH-A' }])
})

t.test('counters, comments and unknown lines are passed over', async t => {
  const tables = parseSave('# x\n*nat\n:OUTPUT DROP [1:2]\n[3:4] -A OUTPUT -j RETURN\nCOMMIT\n# y\n')
  t.strictSame(tables.get('nat')?.get('OUTPUT'), {
    name: 'OUTPUT',
    builtIn: true,
    policy: 'DROP',
    rules: ['-j RETURN'],
  })
})
