/**
 * The node's own resolvers: those of /etc/resolv.conf, read again whenever it may have changed.
 *
 * A stub of systemd-resolved in it is used like any other, since it knows which resolver is
 * for which domain; those that it uses itself stand in for it when it is away.
 */
import { existsSync, readFileSync, type Stats, statSync } from 'node:fs'
import { isIP } from 'node:net'
import type { UpstreamAddress } from './upstream.js'

const dnsPort = 53
/** Where systemd-resolved listens, resolved.conf(5). */
const stubs = ['127.0.0.53', '127.0.0.54']

export interface ResolvConfPaths {
  readonly main: string
  /** What systemd-resolved would write there if it had no stub. */
  readonly behindStub: string
}

export const usualPaths: ResolvConfPaths = {
  main: '/etc/resolv.conf',
  behindStub: '/run/systemd/resolve/resolv.conf',
}

/** The node's own, where its first process sees it. */
const seenFromInit = '/proc/1/root/etc/resolv.conf'

/** Those of the node for an agent in a container, to which Docker gives a copy that stays as it was at its start. */
export function pathsInContainer(own = seenFromInit): ResolvConfPaths {
  return existsSync(own) ? { ...usualPaths, main: own } : usualPaths
}

/** The addresses of a resolv.conf(5), in order, each once. */
export function parseResolvConf(text: string): string[] {
  const addresses = text
    .split('\n')
    .map(line => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? '')
    .filter(address => isIP(address) !== 0)
  return [...new Set(addresses)]
}

/** `own`: the resolver's own addresses, which it must not ask. */
export function chooseUpstreams(main: string, behindStub: string, own: readonly string[]): UpstreamAddress[] {
  const addresses = parseResolvConf(main)
  if (addresses.some(address => stubs.includes(address))) addresses.push(...parseResolvConf(behindStub))
  return [...new Set(addresses)]
    .filter(address => !own.includes(address))
    .map(address => ({ address, port: dnsPort }))
}

/**
 * Calls `listener` with what there is, now and when the function that it returns, called whenever
 * the files may have changed, finds something else.
 */
export function watchResolvConf(
  own: readonly string[],
  listener: (upstreams: UpstreamAddress[]) => void,
  { main, behindStub }: ResolvConfPaths = usualPaths,
): () => void {
  let told = ''
  const look = () => {
    const upstreams = chooseUpstreams(read(main), read(behindStub), own)
    const text = JSON.stringify(upstreams)
    if (text === told) return
    told = text
    listener(upstreams)
  }
  look()
  return look
}

/** A text that is another one once somebody has written the files, or has put others in their place. */
export function stampOf({ main, behindStub }: ResolvConfPaths = usualPaths): string {
  // Asked by name, not by inode: it is a link to a file that is replaced as a whole.
  return [main, behindStub]
    .map(statusOf)
    .map(status => status && `${status.dev} ${status.ino} ${status.size} ${status.mtimeMs} ${status.ctimeMs}`)
    .join()
}

function statusOf(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch {
    return undefined // as when there is none
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return '' // there is none
  }
}
