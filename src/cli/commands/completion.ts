/**
 * `meshctl completion`: prints a script that asks meshctl itself for what may follow.
 */
import { InputError } from '../../errors.js'
import { createClient } from '../client.js'
import { type Command, defaultSocket, example } from '../command.js'

interface Arguments {
  readonly shell: string | undefined
}

// The parser answers `--get-yargs-completions` with one word a line; for zsh with `word:description`.
const scripts: Readonly<Record<string, string>> = {
  bash: `_meshctl() {
  local word="\${COMP_WORDS[COMP_CWORD]}"
  local words
  words="$(SHELL=bash meshctl --get-yargs-completions "\${COMP_WORDS[@]}" 2>/dev/null)"
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o bashdefault -o default -F _meshctl meshctl`,
  zsh: `#compdef meshctl
_meshctl() {
  local -a found
  found=("\${(@f)$(SHELL=zsh meshctl --get-yargs-completions "\${words[@]}" 2>/dev/null)}")
  if (( \${#found} )); then _describe meshctl found; else _default; fi
}
if [ "$funcstack[1]" = _meshctl ]; then _meshctl "$@"; else compdef _meshctl meshctl; fi`,
}

export const completion: Command<Arguments> = {
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
    const script = scripts[wanted]
    if (!script)
      throw new InputError(
        'shell',
        wanted,
        'there is no completion for it',
        `use ${Object.keys(scripts).join(' or ')}`,
      )
    process.stdout.write(`${script}\n`)
  },
}

const innerNaming = ['service inspect', 'service set', 'service rm']
/** Commands that a service's name may follow. */
const naming = ['inspect', 'publish', 'unpublish', 'adopt', 'release', ...innerNaming]

/** What may follow, besides what the parser knows: names of services, where one is expected. */
export async function completeServices(words: readonly string[]): Promise<string[]> {
  const [, command = '', inner = ''] = words
  if (!naming.includes(command === 'service' ? `service ${inner}` : command)) return []
  const services = await createClient(process.env.MESH_SOCKET || defaultSocket)
    .list(1)
    .catch(() => [])
  return services.map(({ name }) => name)
}
