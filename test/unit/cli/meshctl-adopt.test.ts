/**
 * `meshctl adopt` and `meshctl release`, as child processes: output, stderr, exit status.
 */
import t from 'tap'
import { SourceError } from '../../../src/errors.js'
import { serve } from '../../helpers/meshctl-server.js'

// A process for each command takes its time on a busy machine.
t.setTimeout(120_000)

t.test('adopt says what answers, and what Swarm does', async t => {
  const { agent, run } = await serve(t)
  t.same(await run('adopt', 'web'), {
    status: 0,
    stdout:
      'the mesh answers on 8080:80/tcp for web; Swarm replaces its tasks now; see docker service ps web\n',
    stderr: '',
  })
  t.same(await run('adopt', 'shop_web', '--keep'), {
    status: 0,
    stdout: "the mesh answers on 8080:80/tcp for shop_web; Docker's own publication stays behind it\n",
    stderr: 'meshctl: warning: it is of a stack\n',
  })
  t.same(
    agent.calls.map(({ name, args }) => [name, ...args]),
    [
      ['adopt', 'web', { keep: false }],
      ['adopt', 'shop_web', { keep: true }],
    ],
  )
  agent.failure = new SourceError(
    'docker',
    'this node is no manager of its swarm; ask meshctl on one that is: 10.0.0.1',
  )
  t.same(await run('adopt', 'web'), {
    status: 1,
    stdout: '',
    stderr: 'meshctl: docker: this node is no manager of its swarm; ask meshctl on one that is: 10.0.0.1\n',
  })
  t.match(await run('adopt', 'so:lo'), { status: 2, stderr: 'service "so:lo": this is not a name' })
  t.match(await run('adopt'), { status: 2, stderr: 'see meshctl adopt --help' })
})

t.test('release says who answers now', async t => {
  const { agent, run } = await serve(t)
  t.same(await run('release', 'web'), {
    status: 0,
    stdout: 'Docker answers on 8080:80/tcp for web, and the mesh no more\n',
    stderr: '',
  })
  t.match(JSON.parse((await run('release', 'web', '-o', 'json')).stdout), { name: 'web', replacing: false })
  t.match(agent.calls[0], { name: 'release', args: ['web'] })
})
