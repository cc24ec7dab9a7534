import t from 'tap'
import { configurationOf, keysOfPart, linesOf, splitTable } from '../../../src/drivers/ipvs-table.js'
import { byFwmark, keyOfVirtualService, type ServiceMatch } from '../../../src/kernel/objects.js'

const table = Buffer.from(`IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0AFD0005:0050 rr 
  -> 0AFE0003:0050      Masq    1      2          13        
  -> 0AFE0004:0050      Masq    0      0          0         
UDP  [fd4d:0000:0000:0000:0000:0000:0000:0005]:0035 wlc 
  -> [fd4e:0000:0000:0000:0000:0000:0000:0003]:0050      Masq    65535  0          0         
SCTP  0AFD0005:0050 rr persistent 6000 FFFFFFFF
FWM  000122B8 rr 
  -> 0AFE0003:0050      Local   1      0          0         
FWM  000122B8 rr 
  -> [fd4e:0000:0000:0000:0000:0000:0000:0003]:0050      Route   1      0          0         
FWM  410000FF rr ops 
`)

/** The parts of a table that comes in pieces of so many bytes, by whose they may be. */
function partsOf(table: Buffer, size = table.length): Map<string, Buffer> {
  const parts = new Map<string, Buffer>()
  const note = (part: Buffer) => {
    for (const key of keysOfPart(part)) parts.set(key, Buffer.from(part))
  }
  let rest = Buffer.alloc(0)
  for (let at = 0; at < table.length; at += size)
    rest = Buffer.from(splitTable(Buffer.concat([rest, table.subarray(at, at + size)]), false, note))
  splitTable(rest, true, note)
  return parts
}

t.test('each virtual service has its part of the table, however it comes', async t => {
  for (const size of [table.length, 1, 7, 64]) {
    const parts = partsOf(table, size)
    const lines = (match: ServiceMatch) => {
      const part = parts.get(keyOfVirtualService(match))
      return part ? linesOf(part) : null
    }
    t.strictSame(lines({ protocol: 6, address: '10.253.0.5', port: 80 }), [
      { configuration: '0AFE0003:0050 Masq 1', reading: { active: 2, inactive: 13 } },
      { configuration: '0AFE0004:0050 Masq 0', reading: { active: 0, inactive: 0 } },
    ])
    t.equal(lines({ protocol: 17, address: 'fd4d::5', port: 53 })?.length, 1)
    t.strictSame(lines({ protocol: 132, address: '10.253.0.5', port: 80 }), [])
    t.equal(lines(byFwmark(0x122b8))?.[0]?.configuration, '0AFE0003:0050 Local 1')
    t.match(lines(byFwmark(0x122b8, 'inet6'))?.[0]?.configuration, /Route 1$/)
    t.strictSame(lines(byFwmark(0x410000ff)), [], 'without destinations it may be of either family')
    t.strictSame(lines(byFwmark(0x410000ff, 'inet6')), [])
    t.equal(lines(byFwmark(0x999)), null)
    t.equal(parts.size, 7)
  }
})

t.test('destinations are written as the kernel writes them', async t => {
  t.equal(
    configurationOf({ address: '10.254.0.3', port: 80, weight: 1 }, 'masquerade'),
    '0AFE0003:0050 Masq 1',
  )
  t.equal(
    configurationOf({ address: 'fd4e::3', port: 8080, weight: 65535 }, 'tunnel'),
    '[fd4e:0000:0000:0000:0000:0000:0000:0003]:1F90 Tunnel 65535',
  )
})

t.test('a table of nothing, or cut off, has no parts that are not whole', async t => {
  t.equal(partsOf(Buffer.alloc(0)).size, 0)
  const heading = table.subarray(0, table.indexOf('TCP'))
  t.equal(partsOf(heading).size, 0)
  for (let length = heading.length; length < table.length; length += 7)
    for (const part of partsOf(table.subarray(0, length)).values()) linesOf(part)
})
