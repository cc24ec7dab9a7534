/**
 * `meshctl publish`: everything a person can get wrong is found before the agent is asked.
 */
import { InputError, MeshError } from '../../errors.js'
import { parseDuration } from '../../model/duration.js'
import { type PublishRequest, readPublishRequest } from '../../status/requests.js'
import { type Client, createClient } from '../client.js'
import { type Command, example, show, warn } from '../command.js'
import { type ServiceArguments, serviceOptions, serviceText } from '../service-options.js'
import { publishedText } from '../text.js'

/** Name of the one positional: yargs wants the many ones last, people want the service there. */
const words = 'SPEC-SERVICE'

interface Arguments extends ServiceArguments {
  readonly [words]: string[] | undefined
  readonly vip: string | undefined
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
        .options(serviceOptions)
        .option('vip', {
          type: 'string',
          requiresArg: true,
          describe: 'its address in the mesh: one of the VIP pool, auto, or none',
          defaultDescription: 'auto',
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
    const request: PublishRequest = {
      ...serviceText(args),
      service,
      ports: given.slice(0, -1),
      ...(args.vip === undefined ? {} : { vip: args.vip }),
      ...(args.wait ? { wait: true } : {}),
    }
    readPublishRequest(request)
    const timeout = parseDuration(args.timeout, '--timeout', 1, 86_400)
    const client = createClient(args.socket)
    const view = await client.publish(request, args.wait ? timeout : 60).catch(async error => {
      if (args.wait && timedOut(error) && (await isListed(client, service)))
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

/** False too for an agent that does not answer at all. */
async function isListed(client: Client, service: string): Promise<boolean> {
  const services = await client.list(5).catch(() => [])
  return services.some(({ name }) => name === service)
}

function timedOut(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause as NodeJS.ErrnoException | undefined) : undefined
  return cause?.code === 'ETIME'
}
