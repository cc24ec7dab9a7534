import { readFileSync } from 'node:fs'
import t from 'tap'
import { normaliseRule, splitTarget } from '../../../src/drivers/iptables-rule.js'
import { parseSave } from '../../../src/drivers/iptables-save.js'
import { quoteWord, splitWords } from '../../../src/drivers/iptables-words.js'

const fixtures = new URL('../../../../test/fixtures/iptables/', import.meta.url)
const fixture = (name: string) => readFileSync(new URL(name, fixtures), 'utf8')

/** Words of a shell line of `capture`, where quotes are single or double. */
function typedRules(): { table: string; chain: string; rule: string }[] {
  const rules = []
  for (const line of fixture('capture').split('\n')) {
    const found = /^rule (\w+) -A (MESH-\S+) (.*)$/.exec(line)
    if (!found) continue
    const rule = found[3]!.replace(/'([^']*)'/, (_, text: string) => quoteWord(text, true))
    rules.push({ table: found[1]!, chain: found[2]!, rule })
  }
  return rules
}

t.test(
  'words are split at blanks, held together by quotes, and quoted again only where save does',
  async t => {
    t.strictSame(splitWords('-m comment --comment "say \\"two\\" words" -j RETURN'), [
      '-m',
      'comment',
      '--comment',
      'say "two" words',
      '-j',
      'RETURN',
    ])
    t.equal(quoteWord('plain', true), 'plain')
    t.equal(quoteWord('mesh: former', true), '"mesh: former"')
    t.equal(quoteWord('say "two"', true), '"say \\"two\\""')
    t.equal(quoteWord('10.0.0.0/8', false), '10.0.0.0/8')
  },
)

for (const variant of ['legacy', 'nft']) {
  const saved = parseSave(fixture(`${variant}.txt`))

  t.test(`what iptables-${variant}-save prints is its own normal form`, async t => {
    for (const chains of saved.values())
      for (const chain of chains.values()) for (const rule of chain.rules) t.equal(normaliseRule(rule), rule)
  })

  t.test(`rules as a person types them become what iptables-${variant}-save prints`, async t => {
    const typed = typedRules()
    t.ok(typed.length > 25)
    const seen = new Map<string, number>()
    for (const { table, chain, rule } of typed) {
      const index = seen.get(`${table} ${chain}`) ?? 0
      seen.set(`${table} ${chain}`, index + 1)
      t.equal(normaliseRule(rule), saved.get(table)?.get(chain)?.rules[index], rule)
    }
  })
}

t.test('normalising twice changes nothing', async t => {
  for (const { rule } of typedRules()) {
    const once = normaliseRule(rule)
    t.equal(normaliseRule(once), once)
  }
})

t.test('a rule is split into match and target', async t => {
  t.strictSame(splitTarget('-i eth0 -j MESH-MARK'), { match: '-i eth0', target: 'MESH-MARK' })
  t.strictSame(splitTarget('-j MESH-MARK'), { match: '', target: 'MESH-MARK' })
  t.strictSame(splitTarget('-j MARK --set-xmark 0x1/0xffffffff').target, null)
})

t.test('rules of IPv6 are told as ip6tables-save tells them', async t => {
  const table: [typed: string, saved: string][] = [
    ['-s fd4d::1 -j MASQUERADE', '-s fd4d::1/128 -j MASQUERADE'],
    ['-d fe80::/10 -p icmpv6 -j ACCEPT', '-d fe80::/10 -p ipv6-icmp -j ACCEPT'],
    ['-j REJECT --reject-with icmp6-port-unreachable', '-j REJECT --reject-with icmp6-port-unreachable'],
  ]
  for (const [typed, saved] of table) t.equal(normaliseRule(typed), saved)
})
