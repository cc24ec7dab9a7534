/**
 * `meshctl adopt` and `meshctl release`: ports of a Swarm service change hands.
 */
import { parseServiceName } from '../../model/names.js'
import { createClient } from '../client.js'
import { type Command, example, show, warn } from '../command.js'

interface Named {
  readonly service: string
}

export const adopt: Command<Named & { readonly keep: boolean | undefined }> = {
  command: 'adopt <service>',
  describe: 'take over the ports that Docker publishes for a Swarm service',
  builder: yargs =>
    example(
      yargs
        .usage(
          `meshctl adopt SERVICE

Makes ports that Docker's ingress publishes for a Swarm service ports of the mesh. To be
run on a manager. The service gets the label mesh.publish, by which the mesh publishes it
from now on; the mesh answers new connections before Docker's publication goes.

Swarm replaces the tasks of a service whose ports change, as in any update: by its update
order and parallelism. A service of one task is away meanwhile, unless its update order is
start-first. With --keep no task is replaced, and nothing at all is interrupted: Docker's
publication stays in force behind that of the mesh, until it is removed some time, as in
docker service update --publish-rm 8080 SERVICE, or with the next new image.

The service of a stack is declared by a file: write the label there too, in place of the
ports, or the next deployment publishes them by Docker again.`,
        )
        .positional('service', { type: 'string', demandOption: true, describe: 'name of the Swarm service' })
        .option('keep', {
          type: 'boolean',
          describe: "leave Docker's publication in force behind the mesh's",
        }),
      ['adopt web', ''],
      ['adopt web --keep', 'no container is replaced'],
    ),
  handler: async args => {
    const view = await createClient(args.socket).adopt(parseServiceName(args.service), {
      keep: args.keep ?? false,
    })
    warn(view.warnings)
    const then = view.replacing
      ? `Swarm replaces its tasks now; see docker service ps ${view.name}`
      : args.keep
        ? "Docker's own publication stays behind it"
        : "Docker's own publication is gone"
    show(args, view, `the mesh answers on ${view.ports.join(', ')} for ${view.name}; ${then}`)
  },
}

export const release: Command<Named> = {
  command: 'release <service>',
  describe: 'give the ports of a Swarm service back to Docker',
  builder: yargs =>
    example(
      yargs
        .usage(
          `meshctl release SERVICE

Undoes adopt: Docker's ingress publishes all ports that the mesh publishes for the Swarm
service, and the label mesh.publish goes. To be run on a manager. Swarm replaces the tasks
for it, and the mesh answers until that is done, which is when the command returns. If it
is interrupted, run it again.`,
        )
        .positional('service', { type: 'string', demandOption: true, describe: 'name of the Swarm service' }),
      ['release web', ''],
    ),
  handler: async args => {
    const view = await createClient(args.socket).release(parseServiceName(args.service))
    warn(view.warnings)
    show(args, view, `Docker answers on ${view.ports.join(', ')} for ${view.name}, and the mesh no more`)
  },
}
