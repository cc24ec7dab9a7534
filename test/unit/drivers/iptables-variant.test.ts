import t from 'tap'
import { parseSave } from '../../../src/drivers/iptables-save.js'
import { chooseVariant, parseVersion } from '../../../src/drivers/iptables-variant.js'

const nothing = parseSave('')
const empty = parseSave(
  '*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -j MESH-FORWARD\n:MESH-FORWARD - [0:0]\nCOMMIT\n',
)
const docker = parseSave('*nat\n:DOCKER - [0:0]\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j DOCKER\nCOMMIT\n')
const firewall = parseSave('*filter\n:INPUT DROP [0:0]\nCOMMIT\n')

t.test('the variant that holds rules of others is chosen', async t => {
  t.equal(chooseVariant({ legacy: docker, nft: empty }, 'nft').variant, 'legacy')
  t.equal(chooseVariant({ legacy: nothing, nft: docker }, 'legacy').variant, 'nft')
  t.match(chooseVariant({ legacy: nothing, nft: docker }, 'legacy'), {
    reason: 'it holds nat DOCKER, nat PREROUTING',
  })
})

t.test(
  'where nobody has rules the mesh stays where it is, and else follows the standard of the host',
  async t => {
    t.equal(chooseVariant({ legacy: empty, nft: nothing }, 'nft').variant, 'legacy')
    t.equal(chooseVariant({ legacy: nothing, nft: nothing }, 'nft').variant, 'nft')
    t.equal(chooseVariant({ legacy: nothing, nft: nothing }, 'legacy').variant, 'legacy')
  },
)

t.test('rules of others in both are an error that names them', async t => {
  t.throws(() => chooseVariant({ legacy: firewall, nft: docker }, 'nft'), {
    code: 'MESH_UNSUPPORTED',
    message: /legacy holds filter INPUT; nft holds nat DOCKER, nat PREROUTING/,
  })
})

t.test('iptables says itself which it is', async t => {
  t.equal(parseVersion('iptables v1.8.9 (nf_tables)\n'), 'nft')
  t.equal(parseVersion('iptables v1.8.9 (legacy)\n'), 'legacy')
  t.equal(parseVersion('iptables v1.6.1\n'), 'legacy')
})
