/**
 * A mesh or compose file as a source: its services are published for as long as the
 * file says so. Reads it again when it changes. Which text means what is parsed by
 * mesh-file.ts and compose.ts; a file that cannot be read or understood leaves the
 * last snapshot in force.
 */
import { type FSWatcher, unwatchFile, watch, watchFile } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { InputError, reasonOf, SourceError } from '../errors.js'
import type { Publication } from '../model/publication.js'
import type { Service } from '../model/service.js'
import type { ServiceSnapshot } from '../model/snapshot.js'
import type { Source } from './source.js'

/** Editors write in several steps; the file is read once they have been quiet for so long, milliseconds. */
const settle = 50
/** How often the file is looked at, and one that cannot be read or understood is tried again, milliseconds. */
const lookGap = 2000

/**
 * A service whose ports and VIP are all written out. Throws InputError for one that leaves
 * a choice to the mesh that it cannot do without; without an address it has no VIP.
 */
function settled(publication: Publication): Service {
  const ports = publication.ports.map(port => {
    if (port.published) return { ...port, published: port.published }
    throw new InputError(
      `services.${publication.name}.ports`,
      String(port.target.first),
      'a watched file must name the published port',
      `write PUBLISHED:${port.target.first}, or use meshctl apply`,
    )
  })
  const { name, vip: asked, endpointMode } = publication
  const vip = asked === 'auto' || asked === 'none' ? null : asked
  if (vip === null && ports.length === 0 && endpointMode === 'vip')
    throw new InputError(
      `services.${name}.vip`,
      asked,
      'a watched file must name the address',
      'write one of the VIP pool, or use meshctl apply',
    )
  return { ...publication, ports, vip, declaredBy: 'meshctl', problems: [] }
}

export class FileSource implements Source<ServiceSnapshot> {
  readonly name: string
  /** The file itself, and that beside it which may have a compose file's variables. */
  readonly #paths: readonly string[]
  readonly #parse: (text: string, path: string) => Publication[]
  #watcher: FSWatcher | null = null
  #timer: NodeJS.Timeout | null = null
  #look: (() => void) | null = null
  /** Counts readings: of two that overlap the later one is right. */
  #readings = 0
  #stopped = false

  /** `parse` throws InputError. */
  constructor(path: string, parse: (text: string, path: string) => Publication[]) {
    this.name = path
    this.#paths = [path, join(dirname(path), '.env')]
    this.#parse = parse
  }

  start(listener: (snapshot: ServiceSnapshot) => void, onTrouble: (error: Error | null) => void): void {
    const again = (after: number) => {
      if (this.#stopped) return
      if (this.#timer) clearTimeout(this.#timer)
      this.#timer = setTimeout(() => void read(), after)
    }
    const changed = () => again(settle)
    const read = async () => {
      const reading = ++this.#readings
      this.#watch(changed) // first, for what is written while it is read
      const text = await readFile(this.name, 'utf8').catch((error: unknown) => error as Error)
      if (this.#stopped || reading !== this.#readings) return
      try {
        if (typeof text !== 'string') throw text
        listener({ services: this.#parse(text, this.name).map(settled) })
        onTrouble(null)
      } catch (error) {
        onTrouble(new SourceError(this.name, reasonOf(error), { cause: error }))
        again(lookGap)
      }
    }
    this.#look = changed
    for (const path of this.#paths) watchFile(path, { interval: lookGap }, changed)
    void read()
  }

  /**
   * The directory is watched, since most programs replace a file rather than write into it. That
   * tells at once, but not of a file behind a link or a mount, nor once the directory is replaced.
   */
  #watch(onChange: () => void): void {
    if (this.#watcher || this.#stopped) return
    const names = this.#paths.map(path => basename(path))
    try {
      this.#watcher = watch(dirname(this.name), (_, name) => {
        if (name === null || names.includes(name)) onChange()
      })
      this.#watcher.on('error', () => {
        this.#watcher?.close()
        this.#watcher = null
        onChange()
      })
    } catch {
      // The directory is missing: `read` has told so and tries again.
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#watcher?.close()
    for (const path of this.#look ? this.#paths : []) unwatchFile(path, this.#look!)
    if (this.#timer) clearTimeout(this.#timer)
  }
}
