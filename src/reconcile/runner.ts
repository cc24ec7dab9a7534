/**
 * When passes run: events only say that something is dirty; the runner makes passes
 * one at a time, not closer together than `minGap`, and a full one at least every
 * `resync`. After a failed pass the next full one comes sooner, with growing gaps.
 */
export interface RunnerSettings {
  /** Milliseconds between the end of a pass and the start of the next. */
  readonly minGap: number
  /** Milliseconds from the end of one full pass to the start of the next. */
  readonly resync: number
}

export type PassKind = 'fast' | 'full'

/** First wait after a failed pass, milliseconds; doubles up to `resync`. */
const firstRetry = 250

export class Runner {
  private readonly pass: (kind: PassKind) => Promise<boolean>
  private readonly settings: RunnerSettings
  private dirty: PassKind | null = null
  private running: Promise<void> | null = null
  private timer: NodeJS.Timeout | null = null
  private lastEnd = 0
  private lastFull = 0
  private retry = 0
  private stopped = true

  /** `pass` resolves to whether all went well, and never rejects. */
  constructor(pass: (kind: PassKind) => Promise<boolean>, settings: RunnerSettings) {
    this.pass = pass
    this.settings = settings
  }

  start(): void {
    this.stopped = false
    this.mark('full')
  }

  /** Notes that a pass of this kind is due; a full pass includes a fast one. */
  mark(kind: PassKind): void {
    if (this.dirty !== 'full') this.dirty = kind
    this.schedule()
  }

  /** Waits for the pass under way, if any, and makes no more. */
  async stop(): Promise<void> {
    this.stopped = true
    if (this.timer) clearTimeout(this.timer)
    this.timer = null
    while (this.running) await this.running
  }

  /** Runs `work` while no pass is under way and none begins. */
  async exclusive<Result>(work: () => Promise<Result>): Promise<Result> {
    while (this.running) await this.running
    const result = work()
    this.running = result.then(
      () => this.ended(),
      () => this.ended(),
    )
    return result
  }

  private ended(): void {
    this.running = null
    this.schedule()
  }

  private schedule(): void {
    if (this.stopped || this.running) return
    if (this.timer) clearTimeout(this.timer)
    const now = Date.now()
    const gap =
      this.retry > 0
        ? Math.min(firstRetry * 2 ** (this.retry - 1), this.settings.resync)
        : this.settings.resync
    const fullDue = this.lastFull + gap
    const due = this.dirty ? this.lastEnd + this.settings.minGap : fullDue
    this.timer = setTimeout(() => this.begin(), Math.max(0, Math.min(due, fullDue) - now))
  }

  private begin(): void {
    this.timer = null
    const kind = this.dirty ?? 'full'
    this.dirty = null
    this.running = this.pass(kind).then(good => {
      this.running = null
      this.lastEnd = Date.now()
      if (kind === 'full') {
        this.lastFull = this.lastEnd
        this.retry = good ? 0 : this.retry + 1
      } else if (!good && this.retry === 0) {
        this.retry = 1
      }
      this.schedule()
    })
  }
}
