/**
 * Every setting of meshd, once: flag, environment variable and YAML key follow from
 * its name, `meshd --help` from its words. config.ts reads values by this table.
 */
import { hostname } from 'node:os'
import { z } from 'zod'
import {
  domain,
  nodeAddress,
  nodeName,
  pool,
  pool6,
  ports,
  range,
  socketAddress,
  upstreams,
  vipPool,
  wholeNumber,
} from './values.js'

export interface Setting<Schema extends z.ZodType = z.ZodType> {
  /** Flag `--name`, variable `MESH_NAME`, YAML key `name`. */
  readonly name: string
  /** What stands in the help for its value. */
  readonly placeholder: string
  /** Reads the text a person wrote. The message of an issue is `problem; remedy`. */
  readonly schema: Schema
  /** As a person would write it; '' for nothing. */
  readonly fallback: string
  /** May be given several times; its text is a comma-separated list. */
  readonly repeatable: boolean
  readonly group: string
  readonly help: string
}

function setting<Schema extends z.ZodType>(
  group: string,
  name: string,
  placeholder: string,
  fallback: string,
  schema: Schema,
  help: string,
  repeatable = false,
): Setting<Schema> {
  return { name, placeholder, schema, fallback, repeatable, group, help }
}

const places = 'Where things are'
const network = 'Addresses and ports'
const timing = 'Times'
const habits = 'Behaviour'
const sharing = 'Many nodes'
const names = 'Names'

const path = (most = 4095) =>
  z
    .string()
    .startsWith('/', 'not an absolute path; begin it with /')
    .refine(text => Buffer.byteLength(text) <= most, `too long; use at most ${most} bytes`)

const optionalPath = z.union([z.literal('').transform(() => null), path()])

const endpoints = z.string().transform((text, context) => {
  const list = text.split(',').filter(item => item !== '')
  const wrong = list.find(item => !/^https?:\/\/[^/@?#]+\/?$/.test(item) || !URL.canParse(item))
  if (wrong === undefined) return list.map(item => new URL(item).origin)
  const remedy = 'write http://ADDRESS:PORT or https://ADDRESS:PORT, several with commas'
  const message = `"${wrong}" is no endpoint; ${remedy}`
  context.addIssue({ code: 'custom', message })
  return z.NEVER
})

export const table = {
  socket: setting(
    places,
    'socket',
    'PATH',
    '/run/mesh/mesh.sock',
    path(107), // sizeof sun_path - 1, linux/un.h
    'unix socket on which meshctl reaches the agent; belongs to the group mesh if there is one',
  ),
  state: setting(
    places,
    'state',
    'PATH',
    '/var/lib/mesh/mesh.json',
    path(),
    'file that keeps what was published; a copy of it stands beside it as .bak',
  ),
  docker: setting(
    places,
    'docker',
    'PATH',
    '/var/run/docker.sock',
    path(),
    'unix socket of the Docker Engine',
  ),
  files: setting(
    places,
    'file',
    'PATH',
    '',
    z.string().transform(text => text.split(',').filter(item => item !== '')),
    'mesh or compose file whose services are published as long as it says so; watched; may be repeated',
    true,
  ),
  metrics: setting(
    places,
    'metrics',
    'ADDRESS:PORT|off',
    'off',
    socketAddress,
    'also answer GET /metrics for Prometheus here, as in 127.0.0.1:9378; always on the socket',
  ),
  nodeName: setting(network, 'node-name', 'NAME', hostname(), nodeName, 'what this node is called in status'),
  pool: setting(
    network,
    'pool',
    'SUBNET',
    '10.254.0.0/16',
    pool,
    'addresses the mesh gives to sandboxes and endpoints; must be used nowhere else on your network',
  ),
  nodePrefix: setting(
    network,
    'node-prefix',
    'BITS',
    '24',
    wholeNumber(9, 29, 'bits'),
    "length of one node's share of the pool: /24 holds 252 endpoints on a node",
  ),
  vipPool: setting(
    network,
    'vip-pool',
    'SUBNET|none',
    '10.253.0.0/16',
    vipPool,
    'addresses of services, used nowhere else on your network; the same on every node',
  ),
  ipv6: setting(
    network,
    'ipv6',
    'on|off',
    'off',
    z.enum(['on', 'off'], 'not one of the choices; write on or off').transform(text => text === 'on'),
    'whether the mesh has IPv6 beside IPv4; the same on every node',
  ),
  pool6: setting(
    network,
    'pool6',
    'SUBNET',
    'fd4d:6573:68::/96',
    pool6,
    'where the addresses of --pool are in IPv6; used nowhere else; the same on every node',
  ),
  vipPool6: setting(
    network,
    'vip-pool6',
    'SUBNET',
    'fd4d:6573:68:1::/96',
    pool6,
    'where those of --vip-pool are in IPv6; used nowhere else; the same on every node',
  ),
  portRange: setting(
    network,
    'port-range',
    'FIRST-LAST',
    '30000-32767',
    range,
    'ports from which the mesh chooses when `meshctl publish 80 web` names none',
  ),
  reservedPorts: setting(
    network,
    'reserved-ports',
    'PORT/PROTOCOL,…',
    '',
    ports,
    "ports never to be published, besides Docker's own (2377/tcp, 7946/tcp, 7946/udp, 4789/udp)",
    true,
  ),
  vni: setting(
    sharing,
    'vni',
    'NUMBER',
    '4097',
    wholeNumber(1, 16_777_215, ''),
    'VXLAN network identifier of the tunnel between nodes; the same on every node',
  ),
  vxlanPort: setting(
    sharing,
    'vxlan-port',
    'PORT',
    '8473',
    wholeNumber(1, 65_535, ''),
    "UDP port of that tunnel, open between nodes; the same on every node, and not Docker's 4789",
  ),
  mtu: setting(
    network,
    'mtu',
    'BYTES',
    '1500',
    wholeNumber(576, 65535, 'bytes'),
    'largest packet on links of the mesh; the tunnel between nodes takes less where it has to',
  ),
  resync: setting(
    timing,
    'resync',
    'SECONDS',
    '4',
    wholeNumber(1, 3600, 'seconds'),
    'how often the whole kernel state is compared and what others changed is repaired',
  ),
  minGap: setting(
    timing,
    'min-gap',
    'MS',
    '20',
    wholeNumber(0, 10_000, 'milliseconds'),
    'least time between two passes; events within it are handled together',
  ),
  tcpTimeout: setting(
    timing,
    'tcp-timeout',
    'SECONDS',
    '7500',
    wholeNumber(1, 2_000_000, 'seconds'), // the kernel takes at most INT_MAX / HZ, ip_vs_ctl.c
    'how long an idle TCP connection is kept; longer than net.ipv4.tcp_keepalive_time (7200) of its ends',
  ),
  tcpFinTimeout: setting(
    timing,
    'tcp-fin-timeout',
    'SECONDS',
    '120',
    wholeNumber(1, 2_000_000, 'seconds'),
    'how long a TCP connection is remembered after it was closed',
  ),
  udpTimeout: setting(
    timing,
    'udp-timeout',
    'SECONDS',
    '300',
    wholeNumber(1, 2_000_000, 'seconds'),
    'how long packets of one UDP client go to the same endpoint after the last one',
  ),
  store: setting(
    sharing,
    'store',
    'embedded|etcd',
    'embedded',
    z.enum(['embedded', 'etcd'], 'not one of the choices; write embedded or etcd'),
    'where what was published is kept: in a file of this machine alone, or in an etcd that all nodes share',
  ),
  etcdEndpoints: setting(
    sharing,
    'etcd-endpoints',
    'URL,…',
    '',
    endpoints,
    'where etcd answers, as in http://10.0.0.1:2379; nearest first, the others are for when it fails',
    true,
  ),
  etcdPrefix: setting(
    sharing,
    'etcd-prefix',
    'PREFIX',
    '/mesh',
    z
      .string()
      .regex(
        /^(\/[A-Za-z0-9_.-]+)+\/?$/,
        'not a prefix; begin it with / and use letters, digits, "_", "." and "-"',
      ),
    'what all keys of this mesh begin with; two meshes in one etcd need two',
  ),
  etcdCa: setting(
    sharing,
    'etcd-ca',
    'PATH',
    '',
    optionalPath,
    "PEM file of the authority that signed etcd's certificates; without it those of the system are trusted",
  ),
  etcdCert: setting(
    sharing,
    'etcd-cert',
    'PATH',
    '',
    optionalPath,
    'PEM file of the certificate to show to etcd',
  ),
  etcdKey: setting(sharing, 'etcd-key', 'PATH', '', optionalPath, 'PEM file of its key'),
  etcdUser: setting(
    sharing,
    'etcd-user',
    'NAME',
    '',
    z.string().transform(text => (text === '' ? null : text)),
    'user of etcd, where it asks for one',
  ),
  etcdPasswordFile: setting(
    sharing,
    'etcd-password-file',
    'PATH',
    '',
    optionalPath,
    'file whose first line is the password of that user',
  ),
  nodeAddress: setting(
    sharing,
    'node-address',
    'ADDRESS',
    '',
    nodeAddress,
    'address of this node at which other nodes reach it, IPv4 or IPv6 on all; without it one is chosen',
  ),
  lease: setting(
    sharing,
    // etcd's least is 1.5 election timeouts, rounded up to seconds: 1 with --election-timeout=500.
    'lease',
    'SECONDS',
    '2',
    wholeNumber(1, 600, 'seconds'),
    'how long the others believe in this node after its last word; as etcd comes, it takes no less than 2',
  ),
  dns: setting(
    names,
    'dns',
    'on|off',
    'on',
    z.enum(['on', 'off'], 'not one of the choices; write on or off').transform(text => text === 'on'),
    'answer DNS queries for services at the first address of the VIP pool; without a pool there is none',
  ),
  dnsDomain: setting(
    names,
    'dns-domain',
    'NAME',
    'mesh',
    domain,
    'what names of services end in: web.mesh; the same on every node',
  ),
  dnsTtl: setting(
    names,
    'dns-ttl',
    'SECONDS',
    '5',
    wholeNumber(0, 3600, 'seconds'),
    'how long whoever has asked may go on with an answer',
  ),
  dnsUpstreams: setting(
    names,
    'dns-upstream',
    'ADDRESS[:PORT],…',
    '',
    upstreams,
    'resolvers to ask for all other names; without it those of /etc/resolv.conf, as they are at the time',
    true,
  ),
  iptables: setting(
    habits,
    'iptables',
    'auto|legacy|nft',
    'auto',
    z.enum(['auto', 'legacy', 'nft'], 'not one of the choices; write auto, legacy or nft'),
    'which iptables to use; auto finds out which one this host uses',
  ),
  logLevel: setting(
    habits,
    'log-level',
    'LEVEL',
    'info',
    z.enum(
      ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
      'not a level; write fatal, error, warn, info, debug, trace or silent',
    ),
    'how much to log, one JSON line an event; debug tells every change',
  ),
} as const

/** The settings as the agent gets them: parsed, checked, complete. */
export type Settings = { readonly [Key in keyof typeof table]: z.output<(typeof table)[Key]['schema']> }

export const settingList: readonly Setting[] = Object.values(table)
