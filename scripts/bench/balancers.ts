/**
 * HAProxy in TCP mode and nginx with its stream module, started in a namespace with one
 * endpoint behind each port. Neither writes a log; HAProxy may splice,
 * and knows no datagrams.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runInNamespace } from '../../src/netlink/addon.js'

export interface Forwarding {
  readonly protocol: 'tcp' | 'udp'
  readonly port: number
  /** `172.18.0.3:80` */
  readonly to: string
}

function haproxyConfig(forwardings: readonly Forwarding[]): string {
  const listeners = forwardings
    .filter(({ protocol }) => protocol === 'tcp')
    .map(({ port, to }) => `listen port${port}\n  bind :${port}\n  server endpoint ${to}\n`)
  return `global
  maxconn 8192
defaults
  mode tcp
  option splice-auto
  timeout connect 5s
  timeout client 60s
  timeout server 60s
${listeners.join('')}`
}

function nginxConfig(forwardings: readonly Forwarding[], directory: string): string {
  const servers = forwardings.map(({ protocol, port, to }) => {
    const options = protocol === 'udp' ? ' udp reuseport' : ''
    return `server { listen ${port}${options}; proxy_pass ${to}; }`
  })
  return `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root;
daemon off;
pid ${directory}/nginx.pid;
worker_processes auto;
events { worker_connections 8192; }
stream {
${servers.join('\n')}
}
`
}

export interface Balancer {
  readonly process: ChildProcess
  /** Processor time of its processes so far, microseconds. */
  spent(): number
}

/** Starts it in a namespace and in a control group of its own; it ends with this process's namespaces. */
function start(name: string, namespace: string, argv: readonly string[]): Balancer {
  const group = `/sys/fs/cgroup/mesh-bench-${name}`
  mkdirSync(group, { recursive: true })
  const script = 'echo $$ >"$0/cgroup.procs"; exec "$@"'
  const child = runInNamespace(namespace, () =>
    spawn('sh', ['-c', script, group, ...argv], { stdio: ['ignore', 'ignore', 'inherit'] }),
  )
  const spent = () => Number(/^usage_usec (\d+)/m.exec(readFileSync(`${group}/cpu.stat`, 'utf8'))?.[1])
  return { process: child, spent }
}

export function startHaproxy(namespace: string, forwardings: readonly Forwarding[]): Balancer {
  const file = join(mkdtempSync(join(tmpdir(), 'mesh-bench-haproxy-')), 'haproxy.cfg')
  writeFileSync(file, haproxyConfig(forwardings))
  return start('haproxy', namespace, ['haproxy', '-db', '-f', file])
}

export function startNginx(namespace: string, forwardings: readonly Forwarding[]): Balancer {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-bench-nginx-'))
  const file = join(directory, 'nginx.conf')
  writeFileSync(file, nginxConfig(forwardings, directory))
  return start('nginx', namespace, ['nginx', '-p', directory, '-c', file, '-e', '/dev/null'])
}
