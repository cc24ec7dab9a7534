/**
 * `meshctl dns`: how containers come to ask the resolver of the mesh, and what it says.
 */
import { Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Argv } from 'yargs'
import { InputError, MeshError, reasonOf } from '../../errors.js'
import type { NamesView } from '../../status/views.js'
import { createClient } from '../client.js'
import { type Command, example, type Global, show } from '../command.js'

/** Names of two parts, as in tasks.web, are looked for in the mesh first as well. */
const ndots = 'ndots:2'

function useText({ addresses: [address = ''], domain, served }: NamesView): string {
  const daemon = { dns: [address], 'dns-search': [domain], 'dns-opts': [ndots] }
  return [
    `The resolver of this node ${served.length > 0 ? 'answers' : 'is to answer'} at ${address}: names that end in ${domain}, all others by the node's own resolvers.`,
    '',
    'one container:',
    `  docker run --dns ${address} --dns-search ${domain} --dns-option ${ndots} …`,
    'a service of a swarm:',
    `  docker service create --dns ${address} --dns-search ${domain} --dns-option ${ndots} …`,
    'a service of a compose file or stack:',
    `  dns: ${address}`,
    `  dns_search: ${domain}`,
    `  dns_opt: ["${ndots}"]`,
    'every new container, in /etc/docker/daemon.json of each node, read when dockerd starts:',
    `  ${JSON.stringify(daemon)}`,
    'processes of this node, where systemd-resolved runs:',
    `  resolvectl dns mesh0 ${address} && resolvectl domain mesh0 '~${domain}'`,
  ].join('\n')
}

const use: Command = {
  command: 'use',
  describe: 'show what to set so that containers find services by their names',
  builder: yargs => example(yargs, ['dns use', ''], ['dns use -o json', 'for programs']),
  handler: async args => {
    const view = await createClient(args.socket).names()
    show(args, view, useText(view))
  },
}

interface Found {
  readonly name: string
  readonly type: string
  readonly data: string
}

/** Errors of c-ares for a name without such records. */
const absences = ['ENOTFOUND', 'ENODATA']

/** Asks as any process of this node would. Throws MESH_UNREACHABLE. */
async function lookUp(text: string, { addresses: [address = ''], domain }: NamesView): Promise<Found[]> {
  const resolver = new Resolver({ timeout: 2000, tries: 2 })
  resolver.setServers([address])
  const isWhole = isIP(text) !== 0 || [`.${domain}`, '.local', '.'].some(end => text.endsWith(end))
  const name = isWhole ? text.replace(/\.$/, '') : `${text}.${domain}`
  const records = async (type: string, asked: Promise<string[]>): Promise<Found[]> => {
    try {
      return (await asked).map(data => ({ name, type, data }))
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? ''
      if (absences.includes(code)) return []
      if (code === 'EBADNAME')
        throw new InputError('name', text, 'this is no name in DNS', 'write one as in web or tasks.web')
      throw new MeshError('MESH_UNREACHABLE', `ask the resolver at ${address}: ${reasonOf(error)}`)
    }
  }
  if (isIP(name) !== 0) return records('PTR', resolver.reverse(name))
  if (name.startsWith('_')) {
    const found = resolver.resolveSrv(name)
    return records(
      'SRV',
      found.then(list => list.map(each => `${each.port} ${each.name}`)),
    )
  }
  const both = [records('A', resolver.resolve4(name)), records('AAAA', resolver.resolve6(name))]
  return (await Promise.all(both)).flat()
}

const lookup: Command<{ readonly name: string }> = {
  command: 'lookup <name>',
  describe: 'ask the resolver as a process of this node would; exits with 1 if there is nothing',
  builder: (yargs: Argv<Global>) =>
    example(
      yargs.positional('name', { type: 'string', demandOption: true, describe: 'name or address' }),
      ['dns lookup web', 'web.mesh'],
      ['dns lookup tasks.web', 'its endpoints'],
      ['dns lookup _http._tcp.web', 'at which port'],
      ['dns lookup 10.253.0.7', 'whose address that is'],
    ),
  handler: async args => {
    const records = await lookUp(args.name, await createClient(args.socket).names())
    if (records.length === 0) {
      const message = `${args.name}: nothing of that name is to be seen from this node`
      if (args.output === 'table') throw new MeshError('MESH_NOT_FOUND', message)
      process.exitCode = 1
    }
    show(args, records, records.map(({ name, type, data }) => `${name} ${type} ${data}`).join('\n'))
  },
}

export const dns: Command = {
  command: 'dns',
  describe: 'find services by name: how to set it up, and what a name stands for',
  builder: yargs =>
    example(
      yargs
        .usage('meshctl dns use|lookup')
        .command([use, lookup] as never)
        .demandCommand(1, 'Missing command'),
      ['dns use', 'what to set for containers'],
      ['dns lookup web', 'what web.mesh stands for'],
    ),
  handler: () => {},
}
