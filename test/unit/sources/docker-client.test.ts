import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type DockerClient, dockerClient, RefusedError } from '../../../src/sources/docker-client.js'

/** A client of an Engine that answers so; what it was asked for goes into `asked`. */
async function clientOf(
  t: Test,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ client: DockerClient; asked: string[] }> {
  const directory = mkdtempSync(join(tmpdir(), 'docker-client-'))
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${decodeURIComponent(request.url ?? '')}`)
    answer(request, response)
  })
  await new Promise<void>(resolve => server.listen(join(directory, 'docker.sock'), resolve))
  const client = dockerClient(join(directory, 'docker.sock'), 2)
  t.teardown(() => {
    client.close()
    server.closeAllConnections()
    server.close()
    rmSync(directory, { recursive: true })
  })
  return { client, asked }
}

t.test('Docker is asked in its own words', async t => {
  const { client, asked } = await clientOf(t, (_, response) => response.end('[]'))
  t.same(await client.list(), [])
  await client.inspect('web 1')
  await client.tasks({ service: ['web'] })
  await client.updateService('id1', 7, {})
  t.same(asked, [
    'GET /containers/json?filters={"status":["running","paused","restarting"]}',
    'GET /containers/web 1/json',
    'GET /tasks?filters={"service":["web"]}',
    'POST /services/id1/update?version=7',
  ])
})

t.test('what is not there is null, what is refused an error', async t => {
  let status = 404
  const { client } = await clientOf(t, (_, response) => {
    response.statusCode = status
    response.end('{"message":"no such thing"}')
  })
  t.equal(await client.inspect('web'), null)
  t.equal(await client.service('web'), null)
  status = 500
  await t.rejects(client.info(), new RefusedError(500, 'no such thing'))
})

t.test('a stream may be silent for as long as it likes, and ends when it is told to', async t => {
  const { client } = await clientOf(t, (_, response) => response.flushHeaders())
  const controller = new AbortController()
  const stream = (await client.events('0', controller.signal)) as IncomingMessage
  t.notOk(stream.socket.timeout, 'no limit')
  const end = stream.toArray()
  controller.abort()
  await t.rejects(end)
})

t.test('an answer that ends half-way is an error', async t => {
  const { client } = await clientOf(t, (_, response) => {
    response.writeHead(200, { 'content-length': 100 })
    response.write('[')
    setTimeout(() => response.destroy(), 20)
  })
  await t.rejects(client.list(), { code: 'ECONNRESET' })
})
