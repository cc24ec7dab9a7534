/**
 * Containers on their way to run, as runc keeps account of them in a directory for each: told
 * by inotify, before Docker tells of anything and while it may be busy. What is not as runc has
 * it is passed over in silence: Docker's events tell the same a little later.
 *
 * Of a container's directory two files matter. `state.json` appears when its first process is
 * there, in its namespaces; `exec.fifo` is what that process waits at, and is removed once it
 * went on to execute the container's program. runc: libcontainer/container_linux.go.
 */
import { existsSync, type FSWatcher, readFileSync, watch } from 'node:fs'
import * as z from 'zod'

export interface RuntimeListener {
  /** A container's first process is there and waits to be started. */
  made(id: string, pid: number): void
  /** It runs the container's program from now on. */
  begun(id: string, pid: number): void
}

interface Arriving {
  readonly watcher: FSWatcher
  /** 0: it is not known yet. */
  pid: number
}

const stateFile = z.object({ init_process_pid: z.int().positive() })

export class RuntimeWatch {
  readonly #root: string
  readonly #listener: RuntimeListener
  #watcher: FSWatcher | null = null
  readonly #arriving = new Map<string, Arriving>()

  /** `root`: directory with one for each container, by its full id. */
  constructor(root: string, listener: RuntimeListener) {
    this.#root = root
    this.#listener = listener
  }

  /** Watches from now on, if there is such a directory: runc makes it for its first container. */
  open(): void {
    if (this.#watcher) return
    this.#watcher = watched(this.#root, id => this.#note(id))
    this.#watcher?.once('error', () => this.close())
  }

  close(): void {
    this.#watcher?.close()
    this.#watcher = null
    for (const id of this.#arriving.keys()) this.#forget(id)
  }

  /** A directory has come or gone. */
  #note(id: string): void {
    if (!/^[0-9a-f]{64}$/.test(id)) return
    if (!existsSync(`${this.#root}/${id}`)) {
      this.#forget(id)
      return
    }
    if (this.#arriving.has(id)) return
    const watcher = watched(`${this.#root}/${id}`, name => {
      if (name === 'state.json' || name === 'exec.fifo') this.#look(id)
    })
    if (!watcher) return
    watcher.once('error', () => this.#forget(id))
    this.#arriving.set(id, { watcher, pid: 0 })
    this.#look(id) // it may have got that far already
  }

  #look(id: string): void {
    const arriving = this.#arriving.get(id)
    if (!arriving) return
    const directory = `${this.#root}/${id}`
    if (arriving.pid === 0) {
      arriving.pid = readPid(`${directory}/state.json`)
      if (arriving.pid === 0) return
      this.#listener.made(id, arriving.pid)
    }
    if (existsSync(`${directory}/exec.fifo`)) return
    this.#forget(id)
    this.#listener.begun(id, arriving.pid)
  }

  #forget(id: string): void {
    this.#arriving.get(id)?.watcher.close()
    this.#arriving.delete(id)
  }
}

/** Calls `note` with the name of what has changed in a directory; null: it cannot be watched. */
function watched(directory: string, note: (name: string) => void): FSWatcher | null {
  try {
    return watch(directory, { persistent: false }, (_type, name) => {
      if (name !== null) note(name)
    })
  } catch {
    return null
  }
}

/** 0: there is no such file yet, or it is not runc's. */
function readPid(file: string): number {
  try {
    return stateFile.parse(JSON.parse(readFileSync(file, 'utf8'))).init_process_pid
  } catch {
    return 0
  }
}
