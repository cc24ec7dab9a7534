/**
 * `meshctl completion`: prints a script that asks meshctl itself for what may follow.
 */
import type { Argv } from 'yargs'
import { InputError } from '../../errors.js'
import { createClient } from '../client.js'
import { type Command, defaultSocket, example } from '../command.js'

interface Arguments {
  readonly shell: string | undefined
}

/** As yargs has it; its types leave the arguments out: the program, and the command named in a comment. */
type ShowScript = (program: string, command: string) => unknown

const shells = ['bash', 'zsh'] as const

/** `parser` is the whole command line, which yargs needs to write the script. */
export function completion(parser: () => Argv): Command<Arguments> {
  return {
    command: 'completion [shell]',
    describe: 'print a completion script for bash or zsh',
    builder: yargs =>
      example(
        yargs
          .usage('meshctl completion [bash|zsh]')
          .positional('shell', { type: 'string', describe: 'bash or zsh; else the one of $SHELL' }),
        ['completion bash > /etc/bash_completion.d/meshctl', ''],
        ['completion zsh > ~/.zsh/_meshctl', 'in a directory of $fpath'],
      ),
    handler: ({ shell }) => {
      const wanted = shell ?? (process.env.SHELL?.endsWith('zsh') ? 'zsh' : 'bash')
      if (!shells.some(each => each === wanted))
        throw new InputError('shell', wanted, 'there is no completion for it', `use ${shells.join(' or ')}`)
      // yargs has no argument for the shell; it looks at these.
      process.env.SHELL = `/bin/${wanted}`
      delete process.env.ZSH_NAME
      const scripted = parser() as unknown as { showCompletionScript: ShowScript }
      scripted.showCompletionScript('meshctl', 'completion')
    },
  }
}

/** What may follow, besides what yargs knows: names of services, where one is expected. */
export async function completeServices(words: readonly string[]): Promise<string[]> {
  const [, command] = words
  if (command !== 'inspect' && command !== 'unpublish' && command !== 'publish') return []
  const services = await createClient(process.env.MESH_SOCKET || defaultSocket)
    .list(1)
    .catch(() => [])
  return services.map(({ name }) => name)
}
