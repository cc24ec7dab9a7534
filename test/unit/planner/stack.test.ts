import t from 'tap'
import { ipv4, ipv4Of, ipv6, ofFamily, stacksOf } from '../../../src/planner/stack.js'

const six = ipv6('10.254.0.0/16', 'fd4d:6573:68::/96')

t.test('an address of IPv6 has the offset of the IPv4 address in its pool', async t => {
  const table: [four: string, six: string][] = [
    ['10.254.0.1', 'fd4d:6573:68::1'],
    ['10.254.0.3', 'fd4d:6573:68::3'],
    ['10.254.1.3', 'fd4d:6573:68::103'],
    ['10.254.255.254', 'fd4d:6573:68::fffe'],
  ]
  for (const [four, address] of table) {
    t.equal(six.address(four), address)
    t.equal(six.ipv4(address), four)
  }
  t.equal(six.subnet('10.254.0.0/16'), 'fd4d:6573:68::/112')
  t.equal(six.subnet('10.254.1.0/24'), 'fd4d:6573:68::100/120')
  t.equal(ipv6('10.0.0.0/8', 'fd4d:6573:68::/96').address('10.1.2.3'), 'fd4d:6573:68::1:203')
  t.equal(ipv6('10.0.0.0/8', '2001:db8::/64').address('10.1.2.3'), '2001:db8::1:203')
})

t.test('an address outside of the pool stands for none of IPv4', async t => {
  t.equal(six.ipv4('2001:db8::1'), null)
  t.equal(six.ipv4('fd4d:6573:68::1:0'), null)
  t.equal(ipv4Of('fd4d:6573:68::103', [ipv4, six]), '10.254.1.3')
  t.equal(ipv4Of('10.254.1.3', [ipv4, six]), '10.254.1.3')
  t.equal(ipv4Of('fd4d:6573:68::103', [ipv4]), null)
})

t.test('a mesh without IPv6 has one family', async t => {
  t.strictSame(stacksOf('10.254.0.0/16', null), [ipv4])
  t.strictSame(
    stacksOf('10.254.0.0/16', 'fd4d::/96').map(({ family }) => family),
    ['inet', 'inet6'],
  )
  t.strictSame(ofFamily(ipv4, ['10.0.0.1', 'fd4d::1']), ['10.0.0.1'])
  t.strictSame(ofFamily(six, ['10.0.0.1', 'fd4d::1']), ['fd4d::1'])
})

t.test('a port stands behind its address as each family writes it', async t => {
  t.equal(ipv4.at('10.254.0.1', 80), '10.254.0.1:80')
  t.equal(six.at('fd4d::1', 80), '[fd4d::1]:80')
})
