/**
 * `meshctl inspect`.
 */
import { InputError } from '../../errors.js'
import { createClient } from '../client.js'
import { type Command, example, show } from '../command.js'
import { serviceText } from '../text.js'

interface Arguments {
  readonly subject: string
}

export const inspect: Command<Arguments> = {
  command: 'inspect <subject>',
  describe: 'show one service: its ports and each of its endpoints',
  builder: yargs =>
    example(
      yargs
        .usage('meshctl inspect SERVICE|PORT')
        .positional('subject', { type: 'string', demandOption: true, describe: 'SERVICE, PORT or PORT/udp' }),
      ['inspect web', ''],
      ['inspect 8888', 'whatever is published on port 8888'],
      ['inspect 53/udp -o json', 'for programs'],
    ),
  handler: async args => {
    if (args.subject === '')
      throw new InputError('service', '', 'it is empty', 'write a name or port that meshctl ls shows')
    const service = await createClient(args.socket).inspect(args.subject)
    show(args, service, serviceText(service))
  },
}
