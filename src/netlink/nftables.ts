/**
 * The one thing the mesh asks nf_tables itself: whether anything has changed. Its rules
 * are read and written by iptables-nft.
 */
import { attributes, u32be } from './attributes.js'
import type { Query } from './message.js'

const subsystem = 10 // NFNL_SUBSYS_NFTABLES, linux/netfilter/nfnetlink.h
const getGenerationCommand = 16 // NFT_MSG_GETGEN, linux/netfilter/nf_tables.h

/** NFTA_GEN_*, linux/netfilter/nf_tables.h. */
const generationAttributes = attributes({ id: [1, u32be] }) // NFTA_GEN_ID

/** The number of the namespace's present set of rules: each change of any of them makes it another one. */
export function getGeneration(): Query<number> {
  return {
    operation: 'get',
    subject: 'generation of nf_tables',
    type: (subsystem << 8) | getGenerationCommand,
    flags: 0,
    payload: Buffer.alloc(4), // struct nfgenmsg: AF_UNSPEC, version 0, res_id 0
    decode: payload => generationAttributes.decode(payload.subarray(4)).id ?? null,
  }
}
