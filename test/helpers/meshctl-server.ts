/**
 * meshctl against an API server on a real socket in this process.
 */
import { join } from 'node:path'
import type { Test } from 'tap'
import { serveApi } from '../../src/status/api.js'
import { AgentDouble } from './agent-double.js'
import { runProgram } from './run-program.js'
import { shortDirectory } from './short-directory.js'

export async function serve(t: Test) {
  const agent = new AgentDouble()
  const socket = join(shortDirectory(t), 'mesh.sock')
  const api = await serveApi(agent, socket, () => {})
  t.teardown(() => api.close())
  const run = (...args: string[]) => runProgram('meshctl', args, { MESH_SOCKET: socket })
  return { agent, socket, run }
}
