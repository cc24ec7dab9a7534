#!/usr/bin/env node
/**
 * meshd-launch: the task of a Swarm service that keeps meshd running on its node. Swarm
 * cannot give a service's own containers what meshd needs (privileged, the host's
 * processes), but lets them have Docker's socket; so this one has Docker run the real
 * container, of its own image, with its own arguments and MESH_… variables, and waits.
 * When the task ends meshd stays: only a task of another image or with other settings
 * replaces it. Run by scripts/stack.yml.
 */
import { request } from 'node:http'
import { MeshError, reasonOf } from '../errors.js'

const socketPath = process.env.MESH_DOCKER || '/var/run/docker.sock'
const name = 'meshd'
/** Label of meshd's container: the description by which it was made. */
const madeAs = 'meshd.made-as'
/** How long meshd has to end, seconds. It takes far less. */
const patience = 10

interface Details {
  readonly Image: string
  readonly Config: {
    readonly Cmd: readonly string[] | null
    readonly Env: readonly string[] | null
    readonly Labels: Readonly<Record<string, string>>
  }
  readonly State: { readonly Running: boolean }
}

/** One request to the Engine; null for 404 and for an empty answer. Throws MESH_SOURCE with what the Engine says. */
function docker(method: string, path: string, body?: unknown): Promise<unknown> {
  const trouble = (reason: string) => new MeshError('MESH_SOURCE', `docker: ${method} ${path}: ${reason}`)
  return new Promise((resolve, reject) => {
    const options = { socketPath, path, method, headers: { 'Content-Type': 'application/json' } }
    const call = request({ ...options, timeout: (patience + 50) * 1000 }, answer => {
      let text = ''
      answer.setEncoding('utf8').on('data', part => {
        text += part
      })
      answer.on('end', () => {
        const status = answer.statusCode ?? 500
        if (status >= 400 && status !== 404) reject(trouble(text.trim()))
        else resolve(status === 404 || text === '' ? null : JSON.parse(text))
      })
    })
    call.on('timeout', () => call.destroy(new Error('no answer')))
    call.on('error', error => reject(trouble(error.message)))
    call.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

const inspect = (container: string) =>
  docker('GET', `/containers/${container}/json`) as Promise<Details | null>

/** How meshd is run, as `docker run` says it in README.md. */
function descriptionOf(own: Details): object {
  return {
    Image: own.Image,
    Cmd: own.Config.Cmd,
    Entrypoint: ['meshd'],
    Env: (own.Config.Env ?? []).filter(variable => variable.startsWith('MESH_')),
    HostConfig: {
      Privileged: true,
      NetworkMode: 'host',
      PidMode: 'host',
      Binds: [
        '/run:/run:rshared',
        '/var/lib/mesh:/var/lib/mesh',
        '/etc/mesh:/etc/mesh:ro',
        '/lib/modules:/lib/modules:ro',
      ],
      RestartPolicy: { Name: 'unless-stopped' },
    },
  }
}

/**
 * Has the described container run under its name. The new one is made before the old one
 * ends, so that a description that Docker refuses costs nothing. In the second between
 * the two the kernel goes on alone.
 */
async function launch(description: object): Promise<string> {
  const label = JSON.stringify(description)
  const there = await inspect(name)
  if (there?.Config.Labels[madeAs] === label) {
    if (there.State.Running) return 'runs already'
    await docker('POST', `/containers/${name}/start`)
    return 'was there and is started'
  }
  const next = `${name}-next`
  await docker('DELETE', `/containers/${next}?force=1`) // what a launcher left that was killed
  const made = await docker('POST', `/containers/create?name=${next}`, {
    ...description,
    Labels: { [madeAs]: label },
  })
  if (made === null) throw new MeshError('MESH_SOURCE', 'docker: the image of this task is gone')
  if (there) {
    await docker('POST', `/containers/${name}/stop?t=${patience}`)
    await docker('DELETE', `/containers/${name}?force=1`)
  }
  await docker('POST', `/containers/${next}/rename?name=${name}`)
  await docker('POST', `/containers/${name}/start`)
  return there ? 'is replaced' : 'is started'
}

try {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(0))
  const task = process.env.TASK || 'of no name'
  const own = await inspect(task)
  if (!own)
    throw new MeshError(
      'MESH_UNSUPPORTED',
      `there is no container ${task}: meshd-launch is run by scripts/stack.yml, which gives its name in TASK`,
    )
  process.stdout.write(`meshd-launch: ${name} ${await launch(descriptionOf(own))}\n`)
  // Waits for its end; whether meshd is well is asked by the image's HEALTHCHECK.
  setInterval(() => {}, 1 << 30)
} catch (error) {
  process.stderr.write(`meshd-launch: ${reasonOf(error)}\n`)
  process.exitCode = 1
}
