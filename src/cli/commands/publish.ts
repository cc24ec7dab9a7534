/**
 * `meshctl publish`: everything a person can get wrong is found before the agent is asked.
 */
import { InputError, MeshError } from '../../errors.js'
import { parseDuration } from '../../model/duration.js'
import { schedulers } from '../../model/service.js'
import { type PublishRequest, readPublishRequest } from '../../status/requests.js'
import { createClient } from '../client.js'
import { type Command, example, listOf, show, warn } from '../command.js'
import { publishedText } from '../text.js'

/** Name of the one positional: yargs wants the many ones last, people want the service there. */
const words = 'SPEC-SERVICE'

interface Arguments {
  readonly [words]: string[] | undefined
  readonly selector: string | undefined
  readonly endpoint: string | string[] | undefined
  readonly scheduler: string | undefined
  readonly drain: string | undefined
  readonly wait: boolean | undefined
  readonly timeout: string
}

export const publish: Command<Arguments> = {
  command: `publish [${words}..]`,
  describe: 'SPEC… SERVICE: publish ports of a service on this node',
  builder: yargs =>
    example(
      yargs
        .usage(
          `meshctl publish SPEC… SERVICE

SPEC is [ADDRESS:]PUBLISHED:TARGET[/tcp|udp|sctp]; ports may be ranges of equal length.
TARGET alone lets the mesh choose a free published port, and says which.
SERVICE is a Swarm service, a compose service (service or project/service) or a
container; with --selector or --endpoint it is any name you like.`,
        )
        .positional(words, { type: 'string', array: true, describe: 'ports, then the service' })
        .option('selector', {
          type: 'string',
          requiresArg: true,
          describe: 'containers with these labels answer: k=v,…',
        })
        .option('endpoint', {
          type: 'string',
          requiresArg: true,
          describe: 'ADDRESS[:PORT] that answers too; node:PORT is a process on this node; may be repeated',
        })
        .option('scheduler', {
          type: 'string',
          requiresArg: true,
          describe: `how connections are spread: ${schedulers.join(' ')}`,
          defaultDescription: 'rr',
        })
        .option('drain', {
          type: 'string',
          requiresArg: true,
          describe: 'how long a leaving endpoint keeps its connections at most',
          defaultDescription: '30s',
        })
        .option('wait', {
          type: 'boolean',
          describe: 'return only when an endpoint is ready and the port answers',
        })
        .option('timeout', {
          type: 'string',
          requiresArg: true,
          default: '60s',
          describe: 'with --wait: for how long',
        }),
      ['publish 8888:80 web', "port 8888 of the node is port 80 of web's containers"],
      ['publish 80 web', 'the mesh chooses the published port'],
      ['publish 53:53 53:53/udp dns --selector app=dns', 'TCP and UDP, by label'],
      ['publish 8000-8099:8000-8099 game --scheduler sh', 'a range of ports'],
      ['publish 5432:5432 db --endpoint 10.1.2.3', 'an address outside the mesh'],
    ),
  handler: async args => {
    const given = args[words] ?? []
    const service = given.at(-1)
    if (service === undefined || given.length < 2)
      throw new InputError(
        'arguments',
        given.join(' '),
        'SPEC or SERVICE is missing',
        'write for example: meshctl publish 8888:80 web',
      )
    const endpoints = listOf(args.endpoint)
    const request: PublishRequest = {
      service,
      ports: given.slice(0, -1),
      ...(args.selector === undefined ? {} : { selector: args.selector }),
      ...(endpoints === undefined ? {} : { endpoints }),
      ...(args.scheduler === undefined ? {} : { scheduler: args.scheduler }),
      ...(args.drain === undefined ? {} : { drain: args.drain }),
      ...(args.wait ? { wait: true } : {}),
    }
    readPublishRequest(request)
    const timeout = parseDuration(args.timeout, '--timeout', 1, 86_400)
    const view = await createClient(args.socket)
      .publish(request, args.wait ? timeout : 60)
      .catch(error => {
        if (args.wait && timedOut(error))
          throw new MeshError(
            'MESH_SOURCE',
            `${service} is published, but no endpoint was ready within ${args.timeout}; see meshctl inspect ${service}`,
          )
        throw error
      })
    warn(view.warnings)
    show(args, view, publishedText(view.service))
  },
}

function timedOut(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause as NodeJS.ErrnoException | undefined) : undefined
  return cause?.code === 'ETIME'
}
