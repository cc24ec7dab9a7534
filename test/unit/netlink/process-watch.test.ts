/**
 * Ends of processes, told by the kernel; with processes of this machine.
 */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import t from 'tap'
import { ProcessWatch } from '../../../src/netlink/process-watch.js'
import { waitFor } from '../../helpers/wait.js'

const descriptors = () => readdirSync('/proc/self/fd').length

t.test('each end is told once, whoever causes it', async t => {
  const watch = new ProcessWatch()
  t.teardown(() => watch.close())
  const before = descriptors()
  const told: string[] = []
  const children = ['one', 'two', 'three'].map(name => {
    const child = spawn('sleep', ['60'])
    t.ok(
      watch.follow(child.pid!, () => told.push(name)),
      name,
    )
    return child
  })
  const [one, two, three] = children
  t.teardown(() => three!.kill('SIGKILL'))
  one!.kill('SIGKILL')
  await waitFor(() => told.length === 1, 'the first end', 20, 0.005)
  two!.kill('SIGTERM')
  await waitFor(() => told.length === 2, 'the second end', 20, 0.005)
  t.same(told, ['one', 'two'])
  await waitFor(() => one!.signalCode && two!.signalCode, 'nothing to be left of them', 20, 0.005)
  t.notOk(
    watch.follow(one!.pid!, () => told.push('gone')),
    'what is gone cannot be followed',
  )
  watch.close()
  three!.kill('SIGKILL')
  await waitFor(() => three!.signalCode, 'the third end', 20, 0.005)
  t.same(told, ['one', 'two'], 'nothing is told after close')
  t.notOk(
    watch.follow(process.pid, () => {}),
    'nor followed',
  )
  t.ok(descriptors() <= before, 'no descriptor is left')
})

t.test('hundreds that end at the same moment', async t => {
  const watch = new ProcessWatch()
  t.teardown(() => watch.close())
  const shell = spawn('sh', ['-c', 'for i in $(seq 300); do sleep 60 & echo $!; done; wait'])
  const ended = new Set<number>()
  let output = ''
  shell.stdout.setEncoding('utf8').on('data', text => {
    output += text
  })
  await waitFor(() => output.split('\n').length > 300, 'the processes', 20)
  const pids = output.trim().split('\n').map(Number)
  t.equal(pids.length, 300)
  t.ok(pids.every(pid => watch.follow(pid, () => ended.add(pid))))
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  await waitFor(() => ended.size === 300, 'their ends', 20, 0.005)
})
