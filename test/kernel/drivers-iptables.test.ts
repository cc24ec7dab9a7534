import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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

t.test('a lock that nobody gives back is waited for once, not for each change', async t => {
  const { places } = freshStage(t)
  const directory = mkdtempSync(join(tmpdir(), 'mesh-lock-'))
  const lock = join(directory, 'lock')
  const former = process.env.XTABLES_LOCKFILE
  process.env.XTABLES_LOCKFILE = lock
  const holder = spawn('flock', ['--no-fork', lock, 'sh', '-c', 'echo held; exec sleep 600'])
  t.teardown(() => {
    holder.kill()
    if (former === undefined) delete process.env.XTABLES_LOCKFILE
    else process.env.XTABLES_LOCKFILE = former
    rmSync(directory, { recursive: true })
  })
  await once(holder.stdout, 'data')
  const wanted = [chain('host', 'filter', 'A', []), chain('host', 'filter', 'B', [])]
  const outcomes = await bring([createIptablesDriver('legacy')], wanted, places)
  const [error] = outcomes.map(outcome => outcome.error)
  t.match(error?.message, /holding the xtables lock/)
  t.equal(outcomes.length, 2)
  for (const outcome of outcomes) t.equal(outcome.error, error, 'one run of iptables-restore failed both')
})
