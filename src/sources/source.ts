/**
 * What every source of wanted state offers to the loop.
 */
export interface Source<Snapshot> {
  /** `docker`, or a file's path. */
  readonly name: string
  /**
   * Begins to deliver: `listener` gets a complete snapshot soon after, and another
   * after every change. A source that loses its origin keeps quiet (the last
   * snapshot stays in force), tells `onTrouble` why, goes on trying, and tells
   * `onTrouble(null)` when all is well again.
   */
  start(listener: (snapshot: Snapshot) => void, onTrouble: (error: Error | null) => void): void
  stop(): Promise<void>
}
