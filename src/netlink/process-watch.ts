/**
 * Tells when processes end, at once and without looking at them: by a pidfd for each.
 */
import { closeSync } from 'node:fs'
import { addProcess, openProcessSet, unwatch, type WatchHandle, watchProcesses } from './addon.js'

export class ProcessWatch {
  readonly #set: number
  readonly #handle: WatchHandle
  readonly #followed = new Map<number, { readonly descriptor: number; readonly ended: () => void }>()
  #nextId = 1
  #closed = false

  constructor() {
    this.#set = openProcessSet()
    try {
      this.#handle = watchProcesses(this.#set, ids => {
        for (const id of ids) this.#end(id)
      })
    } catch (error) {
      closeSync(this.#set)
      throw error
    }
  }

  /**
   * Calls `ended` when the process ends, a zombie or not, which is once at most. False when it
   * cannot be followed: it is gone already, or the kernel is older than Linux 5.3. A process
   * takes a descriptor until it ends.
   */
  follow(pid: number, ended: () => void): boolean {
    if (this.#closed) return false
    const id = this.#nextId
    this.#nextId = (id % 0x7fffffff) + 1
    try {
      this.#followed.set(id, { descriptor: addProcess(this.#set, pid, id), ended })
      return true
    } catch {
      return false
    }
  }

  /** Nothing is told afterwards. Harmless when it is closed. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    unwatch(this.#handle)
    for (const { descriptor } of this.#followed.values()) closeSync(descriptor)
    this.#followed.clear()
    closeSync(this.#set)
  }

  #end(id: number): void {
    const found = this.#followed.get(id)
    if (!found) return
    this.#followed.delete(id)
    closeSync(found.descriptor)
    found.ended()
  }
}
