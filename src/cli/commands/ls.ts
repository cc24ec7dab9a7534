/**
 * `meshctl ls`.
 */
import { createClient } from '../client.js'
import { type Command, example, show } from '../command.js'
import { servicesText } from '../text.js'

export const ls: Command = {
  command: 'ls',
  describe: 'list what is published',
  builder: yargs => example(yargs, ['ls', ''], ['ls -o json', 'for programs']),
  handler: async args => {
    const services = await createClient(args.socket).list()
    show(args, services, servicesText(services))
  },
}
