/**
 * `meshctl unpublish`.
 */
import { parseServiceName } from '../../model/names.js'
import { formatPortKey, parsePortKey } from '../../status/find.js'
import { createClient } from '../client.js'
import { type Command, example, show } from '../command.js'

interface Arguments {
  readonly spec: string
  readonly service: string
}

export const unpublish: Command<Arguments> = {
  command: 'unpublish <spec> <service>',
  describe: 'take a published port from a service',
  builder: yargs =>
    example(
      yargs
        .usage(
          `meshctl unpublish SPEC SERVICE

SPEC is the published port, 8888 or 53/udp, or the whole SPEC it was published with.
New connections are refused at once. The service goes with its last port, unless it has
ports of its VIP (meshctl service rm).`,
        )
        .positional('spec', { type: 'string', demandOption: true, describe: 'published port' })
        .positional('service', { type: 'string', demandOption: true, describe: 'name of the service' }),
      ['unpublish 8888 web', ''],
      ['unpublish 53/udp dns', ''],
    ),
  handler: async args => {
    const port = formatPortKey(parsePortKey(args.spec))
    const view = await createClient(args.socket).unpublish(port, parseServiceName(args.service))
    const left = view.service?.ports.map(({ spec }) => spec) ?? []
    const rest =
      left.length > 0
        ? `still published on ${left.join(', ')}`
        : view.service
          ? `nothing of it is published any more; it stays, as ${view.service.names.join(', ')}`
          : 'nothing of it is published any more'
    show(args, view, `${view.name} no longer answers on ${view.removed.join(', ')}; ${rest}`)
  },
}
