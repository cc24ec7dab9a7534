/**
 * A namespace as its operator's own tools show it, as text that compares: without
 * counters, timers, interface indices and the order in which the kernel happens to list.
 */
import { runIn } from './namespaces.js'

/** Which tool, and the lines it printed. */
export type HostView = Readonly<Record<string, readonly string[]>>

/** One shell for all of them: starting programs is what takes the time. */
const commands = {
  iptables: 'iptables-save',
  ipsets: 'ipset list',
  links: 'ip -d link',
  addresses: 'ip -o address',
  routes: 'ip route show table all',
  rules: 'ip rule',
}
type Tool = keyof typeof commands
const tools = Object.keys(commands) as Tool[]
const separator = '=== next ==='
const script = Object.values(commands).join(` || exit\necho '${separator}'\n`)

const lines = (text: string) => text.split('\n').filter(line => line.trim() !== '')

const comparable: Readonly<Record<Tool, (text: string) => string[]>> = {
  iptables: text => lines(text.replaceAll(/\[\d+:\d+\]/g, '')).filter(line => !line.startsWith('#')),
  ipsets: setsOf,
  links: linksOf,
  addresses: text => lines(text).map(line => line.replace(/^\d+: /, '').replace(' tentative', '')),
  // Of IPv6, too. A link's own address gets its route once it has been probed, some time after it.
  routes: text =>
    lines(text)
      .filter(line => !line.startsWith('local fe80::'))
      .sort(),
  rules: lines,
}

/** One set to a line: name, header and sorted members. */
function setsOf(text: string): string[] {
  const blocks = text.split(/\n(?=Name: )/).filter(block => block.trim() !== '')
  return blocks.map(block => {
    const [header = '', members = ''] = block.split('Members:\n')
    const kept = lines(header).filter(line => !/^(Size in memory|References|Number of entries)/.test(line))
    return [...kept, ...lines(members).sort()].join(' | ')
  })
}

/** One link to a line; what the kernel sees of a carrier comes and goes by itself. */
function linksOf(text: string): string[] {
  return lines(text.replaceAll(/\n\s+/g, ' '))
    .map(link => link.replace(/^\d+: /, '').replace(/@if\d+/, '@'))
    .map(link => link.replaceAll(/\w+_timer +[\d.]+ | state \w+|NO-CARRIER,|,LOWER_UP/g, ''))
    .sort()
}

/** Everything the mesh may touch in the namespace at `path`, but for its parameters. */
export function hostView(path: string): HostView {
  const parts = runIn(path, ['sh', '-c', script]).split(`${separator}\n`)
  return Object.fromEntries(tools.map((tool, i) => [tool, comparable[tool](parts[i] ?? '')]))
}

/** The namespace's parameters of IPv4; not by sysctl, which looks at thousands more. */
export function sysctlView(path: string): string[] {
  return lines(runIn(path, ['sh', '-c', 'grep -rs . /proc/sys/net/ipv4 || true'])).sort()
}

const ours = /MESH-|mesh-|mesh0|lookup 1090|proto 109\b/

/** What is not the mesh's: all that a repair or a clean-up must leave as it is. */
export function foreignView(path: string): HostView {
  return Object.fromEntries(
    Object.entries(hostView(path)).map(([tool, text]) => [tool, text.filter(line => !ours.test(line))]),
  )
}
