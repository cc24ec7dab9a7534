/**
 * The first pass of an agent that has just begun, which is what a first pass is: a process that
 * makes several is busy optimising what the one before has made it do often.
 *
 *   node --expose-gc first-pass.js SERVICES FILE
 *
 * Writes to FILE what the pass took and the same IPVS messages by raw netlink. Started by `freshly`.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { tuneEngine } from '../../src/cli/engine.js'

export const endpointsEach = 10

export interface FirstPass {
  /** Milliseconds. */
  readonly whole: number
  readonly applyIpvs: number
  readonly rawNetlink: number
}

/** Makes the first pass of so many services in a process of its own. */
export function freshly(services: number): FirstPass {
  const directory = mkdtempSync(join(tmpdir(), 'first-pass-'))
  const file = join(directory, 'taken.json')
  try {
    const args = [...process.execArgv, fileURLToPath(import.meta.url), String(services), file]
    const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    if (status !== 0) throw new Error(`the first pass ended with exit status ${status}`)
    return JSON.parse(readFileSync(file, 'utf8')) as FirstPass
  } finally {
    rmSync(directory, { recursive: true })
  }
}

async function firstPass(count: number): Promise<FirstPass> {
  const { publishedServices, remoteContainers, roomyNode } = await import('./many-services.js')
  const { ipvsChanges, rawNetlink } = await import('./rivals.js')
  const { collectGarbage, watchedNode } = await import('./watched.js')
  const { Topology } = await import('../../test/helpers/topology.js')
  const services = publishedServices(count)
  const { mesh, watch } = await watchedNode(new Topology(), {}, roomyNode)
  mesh.services = services
  mesh.remote = remoteContainers(services, endpointsEach)
  collectGarbage()
  const { wall, split } = await watch.of(() => mesh.pass())
  const ipvs = await ipvsChanges(mesh)
  await mesh.clean()
  await sleep(300) // the namespace's end is the kernel's work for a while
  return { whole: wall, applyIpvs: split.get('apply ipvs') ?? 0, rawNetlink: await rawNetlink(ipvs) }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  tuneEngine()
  const [count = '', file = ''] = process.argv.slice(2)
  writeFileSync(file, JSON.stringify(await firstPass(Number(count))))
  process.exit(0)
}
