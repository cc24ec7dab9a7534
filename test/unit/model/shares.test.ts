import t from 'tap'
import type { LabelWeight } from '../../../src/model/service.js'
import { weightsOf } from '../../../src/model/shares.js'
import { formatWeight, parseWeight } from '../../../src/model/weights.js'
import { container } from '../../helpers/containers.js'

/** Weights of endpoints given by their versions: `canary`, `stable` or `-` for none; a capital one does not count. */
function weights(rules: string[], versions: string): number[] {
  const parsed = rules.map(rule => parseWeight(rule))
  const endpoints = versions.split(' ').map(version => ({
    carrier: version === '-' ? null : container('c', { labels: { version: version.toLowerCase() } }),
    counts: version === version.toLowerCase(),
  }))
  return weightsOf(parsed, endpoints)
}

t.test('a number is the weight of each endpoint, and 1 that of all others', async t => {
  t.strictSame(weights(['version=canary:5', 'version=stable:95'], 'canary stable -'), [5, 95, 1])
  t.strictSame(weights(['version=canary:0'], 'canary stable'), [0, 1])
  t.strictSame(weights(['version=canary:5', 'version=canary:7'], 'canary'), [5], 'the first rule counts')
})

t.test('a percentage is the share of all of them, however many there are', async t => {
  t.strictSame(weights(['version=canary:5%'], 'canary stable'), [1, 19])
  t.strictSame(weights(['version=canary:50%'], 'canary stable stable stable'), [3, 1, 1, 1])
  t.strictSame(weights(['version=canary:20%', 'version=beta:30%'], 'canary beta -'), [2, 3, 5])
  t.strictSame(weights(['version=canary:25%', 'version=stable:2'], 'canary stable -'), [1, 2, 1])
  for (let canaries = 1; canaries <= 12; canaries++)
    for (let others = 1; others <= 40; others++) {
      const all = [...Array(canaries).fill('canary'), ...Array(others).fill('stable')]
      const given = weights(['version=canary:5%'], all.join(' '))
      const sum = given.reduce((a, b) => a + b)
      const share = given.slice(0, canaries).reduce((a, b) => a + b) / sum
      if (Math.abs(share - 0.05) > 0.005) t.fail(`${canaries} of ${canaries + others}: ${share}`)
      if (sum > 10_000) t.fail(`${canaries} of ${canaries + others}: a round of ${sum} connections`)
    }
})

t.test('what does not count leaves its share to the rest', async t => {
  t.strictSame(weights(['version=canary:5%'], 'CANARY stable stable'), [0, 1, 1])
  t.strictSame(weights(['version=canary:5%'], 'canary STABLE'), [1, 0])
  t.strictSame(weights(['version=canary:5%'], 'CANARY canary stable'), [0, 1, 19])
  t.strictSame(weights(['version=canary:0%'], 'canary stable'), [0, 1])
  t.strictSame(weights(['version=canary:100%'], 'canary stable'), [1, 0])
})

t.test('percentages are written as they are read, and none is over 100', async t => {
  const weight: LabelWeight = { label: 'version', value: 'canary', weight: 5, percent: true }
  t.strictSame(parseWeight('version=canary:5%'), weight)
  t.equal(formatWeight(weight), 'version=canary:5%')
  t.throws(() => parseWeight('version=canary:101%'), { message: /101 is outside 0–100/ })
})
