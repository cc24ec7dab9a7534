/**
 * Arithmetic on the pool.
 */
import t from 'tap'
import { checkPool } from '../../../src/config/pool.js'

t.test("a pool that overlaps one of the host's networks is refused with its link", async t => {
  const addresses = [
    { link: 'lo', address: '127.0.0.1/8' },
    { link: 'eth0', address: '10.254.77.5/24' },
    { link: 'mesh0', address: '10.254.0.2/32' },
  ]
  t.throws(() => checkPool('10.254.0.0/16', addresses, 'mesh0'), {
    code: 'MESH_BAD_INPUT',
    message: /^pool "10\.254\.0\.0\/16": it overlaps 10\.254\.77\.5\/24 on this host's link eth0; .* --pool/,
  })
  t.doesNotThrow(() => checkPool('10.253.0.0/16', addresses, 'mesh0'))
})

t.test('overlap is seen whichever is the larger, and not between neighbours', async t => {
  const on = (address: string) => [{ link: 'eth0', address }]
  for (const address of ['10.0.0.1/8', '10.254.255.255/32', '10.254.0.0/32', '0.0.0.0/0'])
    t.throws(() => checkPool('10.254.0.0/16', on(address), 'mesh0'), { code: 'MESH_BAD_INPUT' }, address)
  for (const address of ['10.253.255.255/32', '10.255.0.0/16', '192.168.1.1/24'])
    t.doesNotThrow(() => checkPool('10.254.0.0/16', on(address), 'mesh0'), address)
})

t.test("the mesh's own link is left out", async t => {
  t.doesNotThrow(() => checkPool('10.254.0.0/16', [{ link: 'mesh0', address: '10.254.0.2/32' }], 'mesh0'))
})
