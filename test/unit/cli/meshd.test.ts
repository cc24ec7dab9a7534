/**
 * meshd as a child process, as far as its settings: what it prints and its exit status.
 */
import t from 'tap'
import { runProgram } from '../../helpers/run-program.js'

t.test('help and version are printed and nothing is begun', async t => {
  const help = await runProgram('meshd', ['--help'])
  t.match(help, { status: 0, stderr: '' })
  t.match(help.stdout, /^meshd keeps this node's kernel as the mesh wants it/)
  t.match(await runProgram('meshd', ['--version']), { status: 0, stdout: /^meshd \d+\.\d+\.\d+\n$/ })
})

t.test('settings that make no sense are exit status 2 and one line', async t => {
  t.same(await runProgram('meshd', ['--mtu', 'x']), {
    status: 2,
    stdout: '',
    stderr: 'meshd: --mtu "x": not a whole number; give a whole number of bytes from 576 to 65535\n',
  })
  t.match(await runProgram('meshd', [], { MESH_POOL: 'x' }), { status: 2, stderr: /^meshd: MESH_POOL "x": / })
  t.match(await runProgram('meshd', ['--config', '/nope']), {
    status: 2,
    stderr: /^meshd: config "\/nope": /,
  })
})
