/**
 * A network namespace's own IPv4 addresses, read from outside it through
 * /proc/PID/net/fib_trie. Unlike Docker's answer it is complete: every driver,
 * docker_gwbridge, aliases, and addresses somebody added by hand.
 */
import { readFile } from 'node:fs/promises'

/**
 * Addresses in the text of fib_trie: the leaves with a `/32 host LOCAL` route
 * (RTN_LOCAL in RT_SCOPE_HOST), each once, in order; loopback left out.
 */
export function localAddresses(text: string): string[] {
  const addresses = new Set<string>()
  let leaf = ''
  for (const line of text.split('\n')) {
    const start = line.indexOf('|-- ')
    if (start >= 0) leaf = line.slice(start + 4).trim()
    else if (line.includes('/32 host LOCAL') && leaf !== '' && !leaf.startsWith('127.')) addresses.add(leaf)
  }
  return [...addresses]
}

/** Own addresses of the process's namespace that lie outside `pool` (`10.254.0.0/16`). Empty once it has ended. */
export async function readAddresses(pid: number, pool: string, proc = '/proc'): Promise<string[]> {
  const text = await readFile(`${proc}/${pid}/net/fib_trie`, 'utf8').catch(() => '')
  const inPool = poolTest(pool)
  return localAddresses(text).filter(address => !inPool(address))
}

function poolTest(pool: string): (address: string) => boolean {
  const [base = '', length = '32'] = pool.split('/')
  const size = 2 ** (32 - Number(length))
  const block = Math.floor(numberOf(base) / size)
  return address => Math.floor(numberOf(address) / size) === block
}

function numberOf(address: string): number {
  return address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0)
}
