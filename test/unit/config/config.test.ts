/**
 * Settings: precedence, every kind of value, and what bad input says.
 */
import t from 'tap'
import { configure, variableOf } from '../../../src/config/config.js'
import { helpText } from '../../../src/config/help.js'
import { settingList } from '../../../src/config/table.js'
import { nearest } from '../../../src/model/nearest.js'

/** Reads `files` by path, and nothing else. */
function reader(files: Readonly<Record<string, string>> = {}) {
  return (path: string): string => {
    const text = files[path]
    if (text === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' })
    return text
  }
}

function settings(args: string[], env: Record<string, string> = {}, files: Record<string, string> = {}) {
  const { settings } = configure(args, env, reader(files))
  if (!settings) throw new Error('no settings')
  return settings
}

t.test('everything has a default', async t => {
  const { nodeName, ...others } = settings([])
  t.match(nodeName, /./)
  t.same(others, {
    socket: '/run/mesh/mesh.sock',
    state: '/var/lib/mesh/mesh.json',
    docker: '/var/run/docker.sock',
    files: [],
    metrics: null,
    pool: '10.254.0.0/16',
    ipv6: false,
    pool6: 'fd4d:6573:68::/96',
    vipPool6: 'fd4d:6573:68:1::/96',
    nodePrefix: 24,
    vipPool: '10.253.0.0/16',
    portRange: { first: 30000, last: 32767 },
    reservedPorts: [],
    vni: 4097,
    vxlanPort: 8473,
    mtu: 1500,
    resync: 4,
    minGap: 20,
    tcpTimeout: 7500,
    tcpFinTimeout: 120,
    udpTimeout: 300,
    store: 'embedded',
    etcdEndpoints: [],
    etcdPrefix: '/mesh',
    etcdCa: null,
    etcdCert: null,
    etcdKey: null,
    etcdUser: null,
    etcdPasswordFile: null,
    nodeAddress: null,
    lease: 2,
    dns: true,
    dnsDomain: 'mesh',
    dnsTtl: 5,
    dnsUpstreams: null,
    iptables: 'auto',
    logLevel: 'info',
  })
})

t.test('a mesh may do without VIPs', async t => {
  t.equal(settings(['--vip-pool', 'none']).vipPool, null)
  t.equal(settings(['--dns', 'off']).dns, false)
  t.equal(settings(['--dns-domain', 'Mesh.Example.']).dnsDomain, 'mesh.example')
  t.same(
    settings(['--dns-upstream', '10.0.0.1,10.0.0.2:5353', '--dns-upstream', 'fd00::1,[fd00::2]:54'])
      .dnsUpstreams,
    [
      { address: '10.0.0.1', port: 53 },
      { address: '10.0.0.2', port: 5353 },
      { address: 'fd00::1', port: 53 },
      { address: 'fd00::2', port: 54 },
    ],
  )
  t.equal(settings([], { MESH_VIP_POOL: '10.9.0.0/28' }).vipPool, '10.9.0.0/28')
})

t.test(
  'a flag wins over the environment, the environment over the file, the file over the default',
  async t => {
    const files = { '/etc/mesh/meshd.yaml': 'mtu: 1001\nresync: 11\nmin-gap: 111\n' }
    const env = { MESH_MTU: '1002', MESH_RESYNC: '12' }
    t.match(settings(['--mtu', '1003'], env, files), { mtu: 1003, resync: 12, minGap: 111, udpTimeout: 300 })
  },
)

t.test('the file is named by flag or variable, and only the default one may be missing', async t => {
  const files = { '/a.yaml': 'mtu: 1001', '/b.yaml': 'mtu: 1002', '/empty.yaml': '# nothing\n' }
  t.equal(settings(['--config', '/a.yaml'], { MESH_CONFIG: '/b.yaml' }, files).mtu, 1001)
  t.equal(settings([], { MESH_CONFIG: '/b.yaml' }, files).mtu, 1002)
  t.equal(settings(['--config=/empty.yaml'], {}, files).mtu, 1500)
  t.throws(() => settings(['--config', '/none.yaml'], {}, files), {
    code: 'MESH_BAD_INPUT',
    field: 'config',
    value: '/none.yaml',
  })
  const locked = () => {
    throw Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' })
  }
  t.throws(() => configure([], {}, locked), { field: 'config', message: /EACCES/ })
})

t.test('values of every kind', async t => {
  const yaml = `
metrics: off
reserved-ports: [9000/tcp, 9001-9002/udp]
file: [/a.yaml, /b.yaml]
port-range: 40000-40010
mtu: "9000"
log-level: null
`
  t.match(settings(['--config', '/c'], {}, { '/c': yaml }), {
    metrics: null,
    reservedPorts: [
      { protocol: 'tcp', port: 9000 },
      { protocol: 'udp', port: 9001 },
      { protocol: 'udp', port: 9002 },
    ],
    files: ['/a.yaml', '/b.yaml'],
    portRange: { first: 40000, last: 40010 },
    mtu: 9000,
    logLevel: 'info',
  })
  t.match(settings(['--file', '/a', '--file=/b', '--metrics', '127.0.0.1:9378']), {
    files: ['/a', '/b'],
    metrics: { address: '127.0.0.1', port: 9378 },
  })
  t.match(
    settings([
      '--etcd-endpoints',
      'https://a:2379/',
      '--etcd-endpoints=http://[::1]:2379,http://10.0.0.3:80',
    ]),
    { etcdEndpoints: ['https://a:2379', 'http://[::1]:2379', 'http://10.0.0.3'] },
  )
  t.match(settings([], { MESH_FILE: '/a,/b', MESH_RESERVED_PORTS: '1-2', MESH_MTU: '' }), {
    files: ['/a', '/b'],
    reservedPorts: [{ port: 1 }, { port: 2 }],
    mtu: 1500,
  })
})

t.test('bad input names the place, the value and the remedy', async t => {
  const flags: [string[], string][] = [
    [['--mtu', 'abc'], '--mtu "abc": not a whole number; give a whole number of bytes from 576 to 65535'],
    [['--mtu=99'], '--mtu "99": outside 576–65535; give a whole number of bytes from 576 to 65535'],
    [['--mtu', '-1'], '--mtu "-1": not a whole number; give a whole number of bytes from 576 to 65535'],
    [['--mtu'], 'flag "--mtu": its value is missing; write --mtu VALUE'],
    [['--mtu', '--resync', '3'], 'flag "--mtu": its value is missing; write --mtu VALUE'],
    [['--mtu', '1400', '--mtu', '1500'], 'flag "--mtu": it is given twice; give it once'],
    [['--mtuu', '3'], 'flag "--mtuu": there is no such thing; did you mean --mtu?'],
    [['--frobnicate'], 'flag "--frobnicate": there is no such thing; meshd --help lists them all'],
    [['--constructor', 'x'], 'flag "--constructor": there is no such thing; meshd --help lists them all'],
    [['start'], 'argument "start": meshd takes none; give settings as --name value'],
    [['--pool', '10.1.2.3/16'], '--pool "10.1.2.3/16": not where a subnet begins; write 10.1.0.0/16'],
    [['--pool6', 'fd4d::1/96'], '--pool6 "fd4d::1/96": not where a subnet begins; write fd4d::/96'],
    [
      ['--pool6', 'fd4d::/112'],
      '--pool6 "fd4d::/112": too large or too small; choose a prefix from /16 to /96',
    ],
    [
      ['--pool6', '::/96'],
      '--pool6 "::/96": not usable for machines; choose a private one, as in fd4d:6573:68::/96',
    ],
    [
      ['--ipv6', 'on', '--vip-pool6', 'fd4d:6573:68::/64'],
      'vip-pool6 "fd4d:6573:68::/64": it overlaps the pool6 fd4d:6573:68::/96; choose two subnets that share no address',
    ],
    [
      ['--ipv6', 'on', '--mtu', '1279'],
      'mtu "1279": links of IPv6 carry 1280 bytes at least; choose 1280 or more, or leave ipv6 off',
    ],
    [['--pool', '10.1.2.3'], '--pool "10.1.2.3": not a subnet; write an IPv4 subnet, as in 10.254.0.0/16'],
    [
      ['--pool', '10.0.0.0/30'],
      '--pool "10.0.0.0/30": too large or too small; choose a prefix from /8 to /28',
    ],
    [
      ['--pool', '127.0.0.0/16'],
      '--pool "127.0.0.0/16": not usable for machines; choose a private one, as in 10.254.0.0/16',
    ],
    [
      ['--vip-pool', '10.253.0.1/16'],
      '--vip-pool "10.253.0.1/16": not where a subnet begins; write 10.253.0.0/16, or none',
    ],
    [
      ['--dns-domain', 'cluster.local'],
      '--dns-domain "cluster.local": taken by others; write one that you use nowhere else, as in mesh',
    ],
    [
      ['--dns-domain', 'a_b'],
      '--dns-domain "a_b": not a domain; write one that you use nowhere else, as in mesh',
    ],
    [
      ['--dns-upstream', '10.0.0.1,dns.lan'],
      '--dns-upstream "10.0.0.1,dns.lan": "dns.lan" is no address; write ADDRESS or ADDRESS:PORT, as in 10.0.0.1 or [fd00::1]:5353',
    ],
    [
      ['--vip-pool', '10.254.128.0/20'],
      'vip-pool "10.254.128.0/20": it overlaps the pool 10.254.0.0/16; choose two subnets that share no address, or write none for a mesh without VIPs',
    ],
    [
      ['--node-prefix', '12'],
      'node-prefix "12": a node\'s share would be larger than the pool 10.254.0.0/16; choose 16 or more',
    ],
    [['--port-range', '9-5'], '--port-range "9-5": the range 9-5 runs backwards; write 5-9'],
    [['--reserved-ports', '1/x'], '--reserved-ports "1/x": "x" is not a protocol; use tcp, udp or sctp'],
    [
      ['--metrics', '9378'],
      '--metrics "9378": not an address and a port; write ADDRESS:PORT, as in 127.0.0.1:9378, or off',
    ],
    [['--store', 'redis'], '--store "redis": not one of the choices; write embedded or etcd'],
    [
      ['--etcd-endpoints', 'http://10.0.0.1:2379,10.0.0.2'],
      '--etcd-endpoints "http://10.0.0.1:2379,10.0.0.2": "10.0.0.2" is no endpoint; ' +
        'write http://ADDRESS:PORT or https://ADDRESS:PORT, several with commas',
    ],
    [
      ['--etcd-prefix', 'mesh'],
      '--etcd-prefix "mesh": not a prefix; begin it with / and use letters, digits, "_", "." and "-"',
    ],
    [['--etcd-ca', 'ca.pem'], '--etcd-ca "ca.pem": not an absolute path; begin it with /'],
    [
      ['--node-address', 'eth0'],
      '--node-address "eth0": not an address; write one, as in 10.0.0.1 or fd00::1',
    ],
    ...['fe80::1', 'ff02::1', '::1', '::', '127.0.0.1', '0.0.0.0', '169.254.3.4', '224.0.0.1'].map(
      (address): [string[], string] => [
        ['--node-address', address],
        `--node-address "${address}": not an address that is good beyond one link; write one, as in 10.0.0.1 or fd00::1`,
      ],
    ),
    [['--lease', '0'], '--lease "0": outside 1–600; give a whole number of seconds from 1 to 600'],
    [['--iptables', 'ebtables'], '--iptables "ebtables": not one of the choices; write auto, legacy or nft'],
    [
      ['--log-level', 'loud'],
      '--log-level "loud": not a level; write fatal, error, warn, info, debug, trace or silent',
    ],
    [['--node-name', 'a b'], '--node-name "a b": not a name; use letters, digits, "_", "." and "-"'],
    [['--socket', 'mesh.sock'], '--socket "mesh.sock": not an absolute path; begin it with /'],
    [['--file', 'mesh.yaml'], 'file "mesh.yaml": not an absolute path; begin it with /'],
  ]
  for (const [args, message] of flags)
    t.throws(() => settings(args), { code: 'MESH_BAD_INPUT', message }, message)
  t.throws(() => settings(['--socket', `/${'x'.repeat(107)}`]), {
    message: /too long; use at most 107 bytes/,
  })
  t.throws(() => settings([], { MESH_MTU: 'x' }), { message: /^MESH_MTU "x": not a whole number/ })
})

t.test('a bad file is named with its setting', async t => {
  const cases: [string, RegExp][] = [
    ['mtu: [1400]', /^mtu in \/c "\[1400\]": this is not a plain value/],
    ['mtu: {a: 1}', /^mtu in \/c/],
    ['mtu: 14OO', /^mtu in \/c "14OO": not a whole number/],
    ['mtuu: 1400', /^setting in \/c "mtuu": there is no such thing; did you mean mtu\?/],
    ['- mtu', /^config "\/c": this is not a list of settings/],
    ['just words', /^config "\/c": this is not a list of settings/],
    ['a: [', /^config "\/c": .+; write YAML/],
    ['mtu: 1\nmtu: 2', /^config "\/c": Map keys must be unique/],
    ['resync: true', /^resync in \/c "true"/],
  ]
  for (const [text, message] of cases)
    t.throws(
      () => settings(['--config', '/c'], {}, { '/c': text }),
      { code: 'MESH_BAD_INPUT', message },
      text,
    )
})

t.test('help and version ask for no settings, even beside bad ones', async t => {
  t.match(configure(['-h', '--mtu', 'x'], {}, reader()), { help: true, settings: null })
  t.match(configure(['--version'], { MESH_MTU: 'x' }, reader()), { version: true, settings: null })
})

t.test('a variable that looks like a setting and is none is warned about', async t => {
  const { warnings } = configure([], { MESH_SOKET: 'x', MESH_TRACE: 'netlink', OTHER: 'y' }, reader())
  t.same(warnings, ['the variable MESH_SOKET is no setting of meshd; did you mean MESH_SOCKET?'])
})

t.test('help tells of every setting: flag, variable, default and a sentence', async t => {
  const help = helpText()
  for (const { name, fallback, help: sentence } of settingList) {
    t.match(help, `--${name} `)
    t.match(help, `[${variableOf(name)}]`)
    t.match(help, sentence)
    if (fallback !== '') t.match(help, `default ${fallback}`)
  }
  t.equal(Math.max(...help.split('\n').map(line => line.length)) <= 110, true, 'and fits a terminal')
})

t.test('every name is written once, in lower case with dashes', async t => {
  const names = settingList.map(({ name }) => name)
  t.equal(new Set(names).size, names.length)
  for (const name of names) t.match(name, /^[a-z]+(-[a-z]+)*6?$/)
})

t.test('the nearest name is at most two slips away', async t => {
  t.equal(nearest('socet', ['socket', 'state']), 'socket')
  t.equal(nearest('xyz', ['socket', 'state']), null)
  t.equal(nearest('', []), null)
})
