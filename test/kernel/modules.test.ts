/**
 * What the mesh takes for granted in the kernel it is tested on; where one is
 * missing, the other tests of this layer and of the mesh layer cannot pass.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import t from 'tap'

function works(command: string): string | true {
  const result = spawnSync('bash', ['-c', command], { encoding: 'utf8' })
  return result.status === 0 || result.stderr.trim() || `status ${result.status}`
}

t.test('IPVS has the schedulers of the mesh', async t => {
  const schedulers = ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'sh', 'dh', 'sed', 'nq', 'fo', 'ovf', 'mh']
  for (const [i, name] of schedulers.entries())
    t.equal(works(`ipvsadm -A -f ${i + 1} -s ${name}`), true, name)
  works('ipvsadm -C')
})

t.test('IPVS balances TCP, UDP and SCTP', async t => {
  for (const protocol of ['t', 'u', '-sctp-service'])
    t.equal(works(`ipvsadm -A -${protocol} 10.0.0.1:80 -s rr`), true, protocol)
  t.ok(existsSync('/proc/sys/net/ipv4/vs/conntrack'))
  works('ipvsadm -C')
})

t.test('ipset has the types of the mesh, with marks', async t => {
  t.equal(works('ipset create a bitmap:port range 0-65535 skbinfo && ipset add a 8888 skbmark 0x122b8'), true)
  t.equal(works('ipset create b hash:ip && ipset add b 10.0.0.1'), true)
  t.equal(works('ipset create c hash:ip,port && ipset add c 10.0.0.1,tcp:80'), true)
  t.equal(works('ipset create d hash:net,net && ipset add d 10.0.0.1,10.0.0.2'), true)
  t.equal(works('ipset create e hash:mac skbinfo'), true)
})

t.test('iptables has the matches and targets of the mesh and of Docker', async t => {
  const rules = [
    '-t mangle -A PREROUTING -p tcp -j SET --map-set a dst --map-mark',
    '-t nat -A PREROUTING -p tcp -m addrtype --dst-type LOCAL -m set --match-set a dst -j DNAT --to-destination 10.254.0.1',
    '-t nat -A POSTROUTING -m set --match-set d src,dst -j MASQUERADE',
    '-t nat -A OUTPUT -p udp -m multiport --dports 53,54 -j REDIRECT --to-ports 5353',
    '-t raw -A PREROUTING -p udp -j CT --notrack',
    '-t mangle -A PREROUTING -j CONNMARK --restore-mark',
    '-t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu',
    '-A FORWARD -m ipvs --ipvs -m comment --comment "the mesh" -j ACCEPT',
    '-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    '-A FORWARD -p sctp --dport 80 -j REJECT',
    '-A FORWARD -m mark --mark 0x1 -j DROP',
  ]
  for (const rule of rules) t.equal(works(`iptables ${rule}`), true, rule)
  for (const table of ['raw', 'mangle', 'nat', 'filter'])
    t.equal(works(`ip6tables -t ${table} -S`), true, `ip6 ${table}`)
})

t.test('connections can be listed, links, tunnels and SCTP sockets made', async t => {
  t.equal(works('conntrack -L'), true)
  t.equal(works('ip link add v0 type veth peer name v1'), true)
  t.equal(works('ip link add b0 type bridge && ip link set v0 master b0'), true)
  t.equal(works('ip link add x0 type vxlan id 1 gbp dstport 4789 local 127.0.0.1 nolearning'), true)
  t.equal(works('tc qdisc add dev v1 root netem delay 10ms'), true)
  t.ok(existsSync('/proc/net/sctp'), 'SCTP')
})
