/**
 * What other programs keep on a host next to the mesh: chains, sets, routes, rules
 * and links that no pass and no clean-up may touch.
 */
import { runIn } from './namespaces.js'

/** Puts something of every kind into the host at `path`, close to where the mesh has its own. */
export function settleOthers(path: string): void {
  const commands = [
    'ipset create others hash:ip',
    'ipset add others 203.0.113.7',
    'ipset create my-mesh-tcp bitmap:port range 0-65535',
    'ipset add my-mesh-tcp 8888',
    'iptables -N OTHERS',
    'iptables -A OTHERS -m set --match-set others src -j DROP',
    'iptables -I INPUT -j OTHERS',
    'iptables -I FORWARD -j OTHERS',
    'iptables -A FORWARD -i docker0 ! -o docker0 -j ACCEPT',
    'iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    'iptables -t nat -N DOCKER',
    'iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER',
    'iptables -t nat -A DOCKER -p tcp -m tcp --dport 7777 -j DNAT --to-destination 172.17.0.99:77',
    'ip link add others0 type veth peer name others1',
    'ip link set others0 up',
    'ip route add 198.18.0.0/15 dev docker0',
    'ip route add 10.253.0.0/24 dev docker0 proto static',
    'ip route add default dev docker0 table 1089',
    'ip rule add from 198.18.0.1 lookup 1089 priority 1089',
    'ip rule add from 198.18.0.2 lookup 1089 priority 1090',
    'ip rule add from 198.18.0.3 lookup 1089 priority 1091',
  ]
  for (const command of commands) runIn(path, command.split(' '))
}
