/**
 * `meshctl apply`: the file's text goes to the agent, which reads it as its own.
 */
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { text as readAll } from 'node:stream/consumers'
import { environmentOf } from '../../agent/compose-environment.js'
import { InputError, reasonOf } from '../../errors.js'
import { createClient } from '../client.js'
import { type Command, example, show, warn } from '../command.js'
import { formatTable } from '../table.js'

interface Arguments {
  readonly file: string
}

export const apply: Command<Arguments> = {
  command: 'apply',
  describe: 'publish every service of a mesh file or compose file, all or none',
  builder: yargs =>
    example(
      yargs.option('file', {
        alias: 'f',
        type: 'string',
        requiresArg: true,
        demandOption: true,
        describe: 'mesh.yaml or docker-compose.yml; - reads standard input',
      }),
      ['apply -f mesh.yaml', ''],
      ['apply -f docker-compose.yml', 'its `ports:` and mesh labels'],
    ),
  handler: async args => {
    const fromInput = args.file === '-'
    const name = fromInput ? 'standard input' : resolve(args.file)
    const reading = fromInput ? readAll(process.stdin) : readFile(name, 'utf8')
    const text = await reading.catch(error => {
      throw new InputError('--file', args.file, reasonOf(error), 'name a file that can be read')
    })
    const environment = environmentOf(text, fromInput ? process.cwd() : dirname(name))
    const results = await createClient(args.socket).apply({ name, text, environment })
    warn(results.flatMap(each => each.warnings))
    const rows = results.map(each => [each.name, each.result, each.ports.join(', ') || '-', each.vip ?? '-'])
    show(
      args,
      results,
      rows.length === 0
        ? `${name} publishes nothing`
        : formatTable(['SERVICE', 'RESULT', 'PORTS', 'VIP'], rows),
    )
  },
}
