import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type DockerClient, dockerClient } from '../../../src/sources/docker-client.js'

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
  const client = await dockerClient(join(directory, 'docker.sock'), 2)
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
  await client.inspect('web1')
  await client.tasks({ service: ['web'] })
  await client.updateService('id1', 7, {})
  t.same(asked, [
    'GET /containers/json?filters={"status":["running","paused","restarting"]}',
    'GET /containers/web1/json',
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
  await t.rejects(client.info(), { statusCode: 500, message: 'no such thing' })
})

t.test('an answer that ends half-way is an error that names the request', { timeout: 30_000 }, async t => {
  let isChunked = true
  let status = 200
  const { client } = await clientOf(t, (_, response) => {
    response.writeHead(status, isChunked ? {} : { 'Content-Length': 100 })
    response.write('[{"Id":"1234', () => response.destroy())
  })
  await t.rejects(client.list(), { code: 'MESH_SOURCE', message: /GET \/containers\/json.*half-way/ })
  await t.rejects(client.inspect('web'), { message: /GET \/containers\/web\/json.*half-way/ })
  await t.rejects(client.tasks({}), { message: /GET \/tasks.*half-way/ })
  await t.rejects(client.updateService('id1', 7, {}), { message: /POST \/services\/id1\/update.*half-way/ })
  isChunked = false
  await t.rejects(client.services(), { message: /GET \/services.*half-way/ })
  status = 500
  await t.rejects(client.info(), { message: /GET \/info.*half-way/ })
})

t.test('the stream of events ends when it is told to', async t => {
  const { client } = await clientOf(t, (_, response) => response.flushHeaders())
  const controller = new AbortController()
  const stream = (await client.events('0', controller.signal)) as IncomingMessage
  const end = stream.toArray()
  controller.abort()
  await t.rejects(end)
})

t.test('what dockerode brings along for Engines elsewhere is not loaded', async t => {
  await clientOf(t, (_, response) => response.end())
  const loaded = Object.keys(createRequire(import.meta.url).cache)
  t.ok(loaded.some(path => path.includes('/dockerode/')))
  t.same(
    loaded.filter(path => /\/(protobufjs|@protobufjs|asn1|@grpc\/.*(?<!index)\.js)/.test(path)),
    [],
  )
})
