/**
 * Ends of processes, over a directory that looks like /proc.
 */
import { mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Processes } from '../../../src/sources/processes.js'
import { shortDirectory } from '../../helpers/short-directory.js'

t.test('what was there and is gone has ended, and what has its number now is another', async t => {
  const proc = shortDirectory(t)
  const run = (pid: number, namespace: number) => {
    mkdirSync(join(proc, `${pid}/ns`), { recursive: true })
    symlinkSync(`net:[${namespace}]`, join(proc, `${pid}/ns/net`))
  }
  const end = (pid: number) => rmSync(join(proc, `${pid}`), { recursive: true })
  const processes = new Processes(proc)
  const [web, api, never] = [
    { id: 'web', pid: 11 },
    { id: 'api', pid: 12 },
    { id: 'never', pid: 13 },
  ]
  const ended = (...all: { id: string; pid: number }[]) => processes.ended(all).map(({ id }) => id)
  run(11, 1)
  run(12, 2)
  t.same(ended(web, api, never), [])
  t.same(ended(web, api, never), [])
  end(11)
  t.same(ended(web, api, never), ['web'])
  t.same(ended(web, api, never), ['web'], 'for as long as somebody asks')
  end(12)
  run(12, 3)
  t.same(ended(api, never), ['api'])
  run(11, 4)
  t.same(ended({ id: 'new', pid: 11 }), [], 'another container')
  t.same(ended({ id: 'api', pid: 12 }), [], 'what was not asked about meanwhile is forgotten')
})
