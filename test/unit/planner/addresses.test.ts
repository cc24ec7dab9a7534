import t from 'tap'
import { AddressBook, capacityOf, nodeAddress, sandboxAddress } from '../../../src/planner/addresses.js'

t.test('sandbox and node have the first two addresses of the subnet', async t => {
  t.equal(sandboxAddress('10.254.7.0/24'), '10.254.7.1')
  t.equal(nodeAddress('10.254.7.0/24'), '10.254.7.2')
  t.equal(capacityOf('10.254.7.0/24'), 252)
  t.equal(capacityOf('10.254.7.0/29'), 4)
})

t.test('an attachment keeps its address while it lives', async t => {
  const book = new AddressBook('10.254.0.0/24')
  t.equal(book.assign('a'), '10.254.0.3')
  t.equal(book.assign('b'), '10.254.0.4')
  t.equal(book.assign('a'), '10.254.0.3')
  t.equal(book.ownerOf('10.254.0.4'), 'b')
})

t.test('a released address is the last to be used again', async t => {
  const book = new AddressBook('10.254.0.0/29')
  for (const id of ['a', 'b', 'c', 'd']) book.assign(id)
  book.keepOnly(new Set(['b', 'c', 'd']))
  t.equal(book.assign('e'), '10.254.0.3')
  book.keepOnly(new Set(['c', 'd', 'e']))
  t.equal(book.assign('f'), '10.254.0.4')
})

t.test('an exhausted subnet gives null, and works again after a release', async t => {
  const book = new AddressBook('10.254.0.0/29')
  for (const id of ['a', 'b', 'c', 'd']) t.type(book.assign(id), 'string')
  t.equal(book.assign('e'), null)
  book.keepOnly(new Set(['a']))
  t.equal(book.assign('e'), '10.254.0.4')
})

t.test('what the kernel holds is claimed, and not given to anyone else', async t => {
  const book = new AddressBook('10.254.0.0/24')
  book.claim('old', '10.254.0.3')
  book.claim('elsewhere', '10.254.9.3')
  t.equal(book.get('old'), '10.254.0.3')
  t.equal(book.get('elsewhere'), undefined)
  t.equal(book.assign('new'), '10.254.0.4')
})
