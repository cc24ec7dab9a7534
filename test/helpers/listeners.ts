import type { Listener } from '../../src/model/conflicts.js'

/** A socket of nginx on all addresses, unless `fields` say something else. */
export function listener(port: number, fields: Partial<Listener> = {}): Listener {
  return {
    protocol: 'tcp',
    address: '0.0.0.0',
    port,
    inode: 1,
    process: 'nginx',
    pid: 812,
    ...fields,
  }
}
