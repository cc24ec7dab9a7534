import t from 'tap'
import { dottedName, labelOf, reverseName, reverseZones, shortName } from '../../../src/dns/names.js'

t.test('names of services as DNS has them', async t => {
  t.equal(dottedName('Shop/Web'), 'web.shop')
  t.equal(dottedName('web'), 'web')
  t.equal(shortName('my.shop/web.1'), 'web.1')
  t.equal(labelOf('FD00::3'), 'fd00--3')
})

t.test('the zones of a subnet, backwards', async t => {
  const cases: [string, string[]][] = [
    ['10.254.0.0/16', ['254.10.in-addr.arpa']],
    ['10.0.0.0/8', ['10.in-addr.arpa']],
    ['10.254.4.0/23', ['4.254.10.in-addr.arpa', '5.254.10.in-addr.arpa']],
    ['10.1.2.16/30', [16, 17, 18, 19].map(last => `${last}.2.1.10.in-addr.arpa`)],
    ['fd12:3456::/32', ['6.5.4.3.2.1.d.f.ip6.arpa']],
    ['fd12:3400::/26', ['0', '1', '2', '3'].map(digit => `${digit}.4.3.2.1.d.f.ip6.arpa`)],
  ]
  for (const [subnet, zones] of cases) t.strictSame(reverseZones(subnet), zones, subnet)
  t.equal(reverseName('10.254.0.3'), '3.0.254.10.in-addr.arpa')
})
