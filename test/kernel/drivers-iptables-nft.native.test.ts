/**
 * The nft variant, on this machine's own kernel: the lab's has no nft families ip and ip6.
 */
import { testVariant } from '../helpers/iptables-suite.js'

testVariant('nft')
