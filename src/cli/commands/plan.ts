/**
 * `meshctl plan`.
 */
import { createClient } from '../client.js'
import { type Command, example, show } from '../command.js'
import { planText } from '../text.js'

export const plan: Command = {
  command: 'plan',
  describe: 'show what the next pass would change in the kernel, and change nothing',
  builder: yargs => example(yargs, ['plan', ''], ['plan -o json', 'for programs']),
  handler: async args => {
    const changes = await createClient(args.socket).plan()
    show(args, changes, planText(changes))
  },
}
