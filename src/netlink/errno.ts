/**
 * Names of errno values: libc's, one the kernel keeps to itself, and those of ipset.
 */
import { constants } from 'node:os'

const names = new Map<number, string>()
for (const [name, value] of Object.entries(constants.errno)) if (!names.has(value)) names.set(value, name)
names.set(11, 'EAGAIN')
names.set(95, 'EOPNOTSUPP')
names.set(524, 'ENOTSUPP') // linux/errno.h, not in libc

/** enum ipset_errno, linux/netfilter/ipset/ip_set.h, from IPSET_ERR_PRIVATE = 4096 on. */
const ipsetNames = [
  'IPSET_ERR_PRIVATE',
  'IPSET_ERR_PROTOCOL',
  'IPSET_ERR_FIND_TYPE',
  'IPSET_ERR_MAX_SETS',
  'IPSET_ERR_BUSY',
  'IPSET_ERR_EXIST_SETNAME2',
  'IPSET_ERR_TYPE_MISMATCH',
  'IPSET_ERR_EXIST',
  'IPSET_ERR_INVALID_CIDR',
  'IPSET_ERR_INVALID_NETMASK',
  'IPSET_ERR_INVALID_FAMILY',
  'IPSET_ERR_TIMEOUT',
  'IPSET_ERR_REFERENCED',
  'IPSET_ERR_IPADDR_IPV4',
  'IPSET_ERR_IPADDR_IPV6',
  'IPSET_ERR_COUNTER',
  'IPSET_ERR_COMMENT',
  'IPSET_ERR_INVALID_MARKMASK',
  'IPSET_ERR_SKBINFO',
]
ipsetNames.forEach((name, index) => {
  names.set(4096 + index, name)
})
// IPSET_ERR_TYPE_SPECIFIC = 4352: the same number means another thing to another set type.
for (let value = 4352; value < 4416; value++) names.set(value, `IPSET_ERR_TYPE_SPECIFIC+${value - 4352}`)

/** `EEXIST` of 17; `errno 9999` of a number without a name. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `errno ${errno}`
}
