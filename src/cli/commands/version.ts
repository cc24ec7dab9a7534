/**
 * `meshctl version`: its own, and the agent's if one answers.
 */
import { MeshError } from '../../errors.js'
import { createClient } from '../client.js'
import { type Command, example, show } from '../command.js'
import { packageVersion } from '../version.js'

export const version: Command = {
  command: 'version',
  describe: 'show the versions of meshctl and of the agent',
  builder: yargs => example(yargs, ['version', '']),
  handler: async args => {
    const agent = await createClient(args.socket)
      .version()
      .catch(error => {
        if (error instanceof MeshError && error.code === 'MESH_UNREACHABLE') return null
        throw error
      })
    const client = packageVersion()
    const other = agent ? `meshd ${agent.version} on ${agent.node}` : `meshd not reachable on ${args.socket}`
    show(args, { client, agent }, `meshctl ${client}\n${other}`)
  },
}
