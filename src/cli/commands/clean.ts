/**
 * `meshctl clean`: by the agent, which then stops, or without one by meshctl itself.
 */
import { createInterface } from 'node:readline/promises'
import { MeshError } from '../../errors.js'
import type { CleanView } from '../../status/views.js'
import { createClient, isAbsent } from '../client.js'
import { type Command, example, show } from '../command.js'
import { count } from '../table.js'

interface Arguments {
  readonly yes: boolean | undefined
}

export const clean: Command<Arguments> = {
  command: 'clean',
  describe: 'take everything of the mesh off this node and stop the agent; works without one too',
  builder: yargs =>
    example(
      yargs.option('yes', { alias: 'y', type: 'boolean', describe: 'do not ask; a script is never asked' }),
      ['clean', ''],
    ),
  handler: async args => {
    if (!args.yes && !(await agreed()))
      throw new MeshError('MESH_BAD_INPUT', 'clean: not confirmed; nothing was done')
    const view = await cleaned(args.socket)
    const total = view.removed.length
    const text =
      total === 0
        ? 'nothing of the mesh was on this node'
        : `${view.removed.join('\n')}\n\n${count(total, 'thing')} removed; the node is as it was before the mesh`
    show(args, view, text)
  },
}

/** By the agent; where none answers, by this process, which then must be root. */
async function cleaned(socket: string): Promise<CleanView> {
  try {
    return await createClient(socket).clean()
  } catch (error) {
    // An agent that is there but slow would put back what was removed behind its back.
    if (!isAbsent(error)) throw error
    const { cleanWithoutAgent } = await import('../../agent/clean.js')
    return { removed: await cleanWithoutAgent(socket) }
  }
}

/** Asks a person at a terminal; anybody else has said what they want. */
async function agreed(): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return true
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await terminal.question(
      'This ends every connection through the mesh on this node. Go on? [y/N] ',
    )
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    terminal.close()
  }
}
