/**
 * `meshctl node`: the nodes of the mesh, and taking one out of service.
 */
import type { Argv } from 'yargs'
import { InputError } from '../../errors.js'
import { createClient } from '../client.js'
import { type Command, example, type Global, show } from '../command.js'
import { count } from '../table.js'
import { nodesText } from '../text.js'

interface Named {
  readonly node: string
}

const named = (yargs: Argv<Global>) =>
  yargs.positional('node', { type: 'string', demandOption: true, describe: 'name that node ls shows' })

/** Throws InputError for an empty name, which would be another path of the API. */
function checked(name: string): string {
  if (name !== '') return name
  throw new InputError('node', '', 'it is empty', 'write a name that meshctl node ls shows')
}

const ls: Command = {
  command: 'ls',
  describe: 'list the nodes of the mesh',
  builder: yargs => example(yargs, ['node ls', ''], ['node ls -o json', 'for programs']),
  handler: async args => {
    const nodes = await createClient(args.socket).nodes()
    show(args, nodes, nodesText(nodes))
  },
}

const drain: Command<Named & { readonly undo: boolean | undefined }> = {
  command: 'drain <node>',
  describe: 'send new connections to other nodes; those there are go on for the drain time',
  builder: yargs =>
    example(
      named(yargs).option('undo', { type: 'boolean', describe: 'let it take new connections again' }),
      ['node drain node2', 'before work on it'],
      ['node drain node2 --undo', 'after it'],
    ),
  handler: async args => {
    const view = await createClient(args.socket).drainNode(checked(args.node), !args.undo)
    const text = view.draining
      ? `containers of ${view.name} take no new connections; ${count(view.connections, 'connection')} through this node left`
      : `containers of ${view.name} take new connections`
    show(args, view, text)
  },
}

const rm: Command<Named> = {
  command: 'rm <node>',
  describe: 'forget a node that is gone for good; its share of the pool is free again',
  builder: yargs => example(named(yargs), ['node rm node3', '']),
  handler: async args => {
    const view = await createClient(args.socket).removeNode(checked(args.node))
    show(args, view, `${view.name} is no longer part of the mesh; ${view.subnet} is free again`)
  },
}

export const node: Command = {
  command: 'node',
  describe: 'list the nodes of the mesh, drain or remove one',
  builder: yargs =>
    example(
      yargs
        .usage('meshctl node ls|drain|rm')
        .command([ls, drain, rm] as never)
        .demandCommand(1, 'Missing command'),
      ['node ls', 'who is there'],
      ['node drain node2', 'before work on it'],
    ),
  handler: () => {},
}
