/**
 * `meshctl status`: exit status 1 when the agent is not healthy, so that scripts can ask.
 */
import { createClient } from '../client.js'
import { type Command, example, show } from '../command.js'
import { statusText } from '../text.js'

export const status: Command = {
  command: 'status',
  describe: 'say whether all is well, what is not, and what was repaired; exits with 1 if it is not',
  builder: yargs => example(yargs, ['status', ''], ['status -o json', 'for programs']),
  handler: async args => {
    const view = await createClient(args.socket).status()
    show(args, view, statusText(view))
    if (!view.healthy) process.exitCode = 1
  },
}
