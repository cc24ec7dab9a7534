/**
 * `meshctl service`: services with an address and names in the mesh, published or not.
 */
import type { Argv } from 'yargs'
import { parseServiceName } from '../../model/names.js'
import { readCreateRequest, readSetRequest, type ServiceRequest } from '../../status/requests.js'
import { createClient } from '../client.js'
import { type Command, example, type Global, listOf, show, warn } from '../command.js'
import { type ServiceArguments, serviceOptions, serviceText } from '../service-options.js'
import { namedServicesText, servedText, serviceText as textOf } from '../text.js'

interface Named {
  readonly service: string
}

interface Settings extends Named, ServiceArguments {
  readonly port: string | string[] | undefined
  readonly ip: string | undefined
  readonly 'endpoint-mode': string | undefined
}

const named = <T>(yargs: Argv<T>) =>
  yargs.positional('service', { type: 'string', demandOption: true, describe: 'name of the service' })

const settings = (yargs: Argv<Global>): Argv<Global & Settings> =>
  named(yargs)
    .option('port', {
      type: 'string',
      requiresArg: true,
      describe: 'PORT[:TARGET][/tcp|udp|sctp] of its VIP and of its endpoints; may be repeated',
    })
    .option('ip', {
      type: 'string',
      requiresArg: true,
      describe: 'its VIP: an address of the VIP pool, auto, or none',
      defaultDescription: 'auto',
    })
    .option('endpoint-mode', {
      type: 'string',
      requiresArg: true,
      describe: 'what its name stands for: vip, or dnsrr (its endpoints)',
      defaultDescription: 'vip',
    })
    .options(serviceOptions) as never

function requestOf(args: Settings): ServiceRequest {
  const vipPorts = listOf(args.port)
  return {
    ...serviceText(args),
    ...(vipPorts === undefined ? {} : { vipPorts }),
    ...(args.ip === undefined ? {} : { vip: args.ip }),
    ...(args['endpoint-mode'] === undefined ? {} : { endpointMode: args['endpoint-mode'] }),
  }
}

const create: Command<Settings> = {
  command: 'create <service>',
  describe: 'give containers one address and name in the mesh',
  builder: yargs =>
    example(
      settings(yargs).usage(`meshctl service create NAME --port PORT[:TARGET][/PROTOCOL]… [options]

The service answers at its VIP from every container and process of every node, under
the name NAME.mesh. Without --selector or --endpoint the containers of that name answer,
as with publish. meshctl publish makes ports of it public besides.`),
      ['service create db --port 5432', "containers called db, at db.mesh's own address"],
      ['service create web --selector tier=web,release=stable --port 8080:80/tcp --port 443', ''],
      ['service create web --port 80 --ip 10.253.1.3 --persist 600s', 'the address is chosen'],
      ['service create api --port 80 --weight version=canary:5%', ''],
      ['service create cache --endpoint-mode dnsrr', 'a name for the endpoints, no address'],
    ),
  handler: async args => {
    const request = requestOf(args)
    readCreateRequest({ ...request, service: args.service })
    const view = await createClient(args.socket).createService(parseServiceName(args.service), request)
    warn(view.warnings)
    show(args, view, servedText(view.service))
  },
}

const set: Command<Settings> = {
  command: 'set <service>',
  describe: 'change what is given of a service and nothing else',
  builder: yargs =>
    example(
      settings(yargs).usage(`meshctl service set NAME [options]

A list that is given replaces the one there is; none empties it. Works on published
services too; their ports are for publish and unpublish.`),
      ['service set web --weight version=canary:20%', ''],
      ['service set web --weight none --scheduler rr', 'as it was before there were weights'],
      ['service set web --scope team-a --alias shop', ''],
      ['service set web --selector none', 'by its name again'],
      ['service set web --ip auto', 'a VIP for a service that has none'],
    ),
  handler: async args => {
    const request = requestOf(args)
    readSetRequest(request)
    const view = await createClient(args.socket).setService(parseServiceName(args.service), request)
    warn(view.warnings)
    show(args, view, servedText(view.service))
  },
}

const ls: Command = {
  command: 'ls',
  describe: 'list services with their addresses, names and scopes',
  builder: yargs => example(yargs, ['service ls', ''], ['service ls -o json', 'for programs']),
  handler: async args => {
    const services = await createClient(args.socket).list()
    show(args, services, namedServicesText(services))
  },
}

const inspect: Command<Named> = {
  command: 'inspect <service>',
  describe: 'show one service, as meshctl inspect does',
  builder: yargs => example(named(yargs), ['service inspect web', '']),
  handler: async args => {
    const service = await createClient(args.socket).inspect(parseServiceName(args.service))
    show(args, service, textOf(service))
  },
}

const rm: Command<Named & { readonly force: boolean | undefined }> = {
  command: 'rm <service>',
  describe: 'remove a service; its address is free again',
  builder: yargs =>
    example(
      named(yargs).option('force', {
        alias: 'f',
        type: 'boolean',
        describe: 'also if it is published: new connections are refused at once',
      }),
      ['service rm web', ''],
      ['service rm web --force', 'with its published ports'],
    ),
  handler: async args => {
    const body = args.force ? { force: true } : {}
    const view = await createClient(args.socket).removeService(parseServiceName(args.service), body)
    const freed = view.vip === null ? '' : `; ${view.vip} is free again`
    const ports = view.removed.length === 0 ? '' : `; it no longer answers on ${view.removed.join(', ')}`
    show(args, view, `${view.name} is removed${freed}${ports}`)
  },
}

export const service: Command = {
  command: 'service',
  describe: 'create, list, change or remove services with an address and names in the mesh',
  builder: yargs =>
    example(
      yargs
        .usage('meshctl service create|ls|inspect|set|rm')
        .command([create, ls, inspect, set, rm] as never)
        .demandCommand(1, 'Missing command'),
      ['service create web --port 8080:80', 'an address and a name for the containers of web'],
      ['service ls', 'who has which'],
    ),
  handler: () => {},
}
