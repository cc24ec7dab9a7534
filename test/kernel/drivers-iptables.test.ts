import t from 'tap'
import { createIptablesDriver, missingTable } from '../../src/drivers/iptables.js'
import type { Variant } from '../../src/drivers/iptables-variant.js'
import { bring, failures, freshStage } from '../helpers/drivers.js'
import { chain, testVariant, works } from '../helpers/iptables-suite.js'

testVariant('legacy')

t.test('a table that the kernel lacks is told with its remedy', async t => {
  t.equal(missingTable("iptables-restore: unable to initialize table 'nat'\n"), 'nat')
  t.equal(missingTable('line 2: TABLE_ADD failed (Operation not supported): table raw\n'), 'raw')
  t.equal(missingTable('iptables-restore: line 3 failed\n'), null)
  if (works('nft')) return
  const { places } = freshStage(t)
  const failed = failures(await bring([createIptablesDriver('nft')], [chain('host', 'nat', 'A', [])], places))
  t.match(failed, [/the kernel has no table nat of iptables-nft: modprobe .*, or have the agent use legacy/])
})

t.test('a missing program is told with the package that has it', async t => {
  const { places } = freshStage(t)
  const driver = createIptablesDriver('none' as Variant)
  await t.rejects(driver.observe(places), { code: 'MESH_UNSUPPORTED', message: /apt-get install iptables/ })
})
