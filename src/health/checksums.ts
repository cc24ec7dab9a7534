/**
 * Packets that arrive with a wrong checksum. Network cards and hypervisors that are to
 * sum up what is inside a tunnel may do it wrong: pings pass, since the kernel sums them up
 * itself, and data does not. Only whoever receives can tell: the probes of the other nodes
 * (peer-watch.ts) end in this node's sandbox, where the kernel counts the damaged ones.
 */
import { readFileSync } from 'node:fs'
import { runInNamespace } from '../netlink/addon.js'

/** One that is damaged now and then is nobody's fault: so many in so many seconds are. */
const suspicious = 5
const memory = 30

/** The sum of InCsumErrors of TCP and UDP in the text of /proc/net/snmp. */
export function checksumErrors(snmp: string): number {
  const lines = snmp.split('\n').map(line => line.split(' '))
  let sum = 0
  for (const protocol of ['Tcp:', 'Udp:']) {
    const [names = [], values = []] = lines.filter(([name]) => name === protocol)
    sum += Number(values[names.indexOf('InCsumErrors')] ?? 0)
  }
  return sum
}

/** How many came to a namespace since it was made. Throws when there is none at that path. */
export function readChecksumErrors(path: string): number {
  return checksumErrors(runInNamespace(path, () => readFileSync('/proc/thread-self/net/snmp', 'utf8')))
}

/** Tells a card that does it wrong from an accident, by looks at the count. */
export class ChecksumWatch {
  private looks: { readonly at: number; readonly count: number }[] = []

  /** `now` in seconds, of any clock. Returns how many came lately, 0 for too few to tell of. */
  look(count: number, now: number): number {
    // A sandbox that was made anew counts from 0.
    if (count < (this.looks.at(-1)?.count ?? 0)) this.looks = []
    this.looks.push({ at: now, count })
    while (this.looks.length > 2 && now - (this.looks[1]?.at ?? now) >= memory) this.looks.shift()
    const lately = count - (this.looks[0]?.count ?? count)
    return lately >= suspicious ? lately : 0
  }
}
