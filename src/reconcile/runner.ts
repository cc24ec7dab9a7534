/**
 * When passes run: events only say that something is dirty; the runner makes passes
 * one at a time, not closer together than `minGap`, and a full one at least every
 * `resync`. After a failed pass the next full one comes sooner, with growing gaps.
 *
 * Fast passes go first. A full one waits until nothing has asked for a fast one for a moment, and
 * gives up its look at the kernel when something does; but not for longer than `patience`.
 */
export interface RunnerSettings {
  /** Milliseconds between the end of a pass and the start of the next. */
  readonly minGap: number
  /** Milliseconds from the end of one full pass to the start of the next. */
  readonly resync: number
  /** For how long fast passes may put off a full one that is due, milliseconds; 2000 unless given. */
  readonly patience?: number
}

export type PassKind = 'fast' | 'full'

/**
 * Makes a pass; resolves to whether all went well, and never rejects. A full one may give up when
 * `signal` is aborted as long as it has only looked, and resolves to null then.
 */
export type MakePass = (kind: PassKind, signal: AbortSignal) => Promise<boolean | null>

/** First wait after a failed pass, milliseconds; doubles up to `resync`. */
const firstRetry = 250
/** Where one thing has changed another often does within so many milliseconds: what is made is started. */
const moment = 250

export class Runner {
  private readonly pass: MakePass
  private readonly settings: Required<RunnerSettings>
  private isFastDue = false
  /** When a full pass was asked for that has not begun; null: it comes when `resync` is over. */
  private fullAsked: number | null = null
  private running: Promise<void> | null = null
  /** Of the full pass under way that may be given up. */
  private giveUp: AbortController | null = null
  private timer: NodeJS.Timeout | null = null
  private lastEnd = 0
  private lastFull = 0
  private lastFastMark = 0
  private retry = 0
  private stopped = true

  constructor(pass: MakePass, settings: RunnerSettings) {
    this.pass = pass
    this.settings = { patience: 2000, ...settings }
  }

  start(): void {
    this.stopped = false
    this.mark('full')
  }

  /** Notes that a pass of this kind is due. */
  mark(kind: PassKind): void {
    if (kind === 'full') this.fullAsked ??= Date.now()
    else {
      this.isFastDue = true
      this.lastFastMark = Date.now()
      this.giveUp?.abort()
    }
    this.schedule()
  }

  /** Waits for the pass under way, if any, and makes no more. */
  async stop(): Promise<void> {
    this.stopped = true
    if (this.timer) clearTimeout(this.timer)
    this.timer = null
    this.giveUp?.abort()
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

  /** When the next full pass is due, and from when on nothing puts it off. */
  private get full(): { readonly due: number; readonly pressing: number } {
    const { resync, patience } = this.settings
    const gap = this.retry > 0 ? Math.min(firstRetry * 2 ** (this.retry - 1), resync) : resync
    const due = Math.min(this.fullAsked ?? Number.POSITIVE_INFINITY, this.lastFull + gap)
    return { due, pressing: due + patience }
  }

  private schedule(): void {
    if (this.stopped || this.running) return
    if (this.timer) clearTimeout(this.timer)
    const { due, pressing } = this.full
    const full = Math.min(Math.max(due, this.lastFastMark + moment), pressing)
    const next = this.isFastDue ? this.lastEnd : full
    const earliest = this.lastEnd + this.settings.minGap
    this.timer = setTimeout(() => this.begin(), Math.max(0, Math.max(next, earliest) - Date.now()))
  }

  private begin(): void {
    this.timer = null
    // Exclusive work has begun since the time was set; its end sets another.
    if (this.running) return
    const { due, pressing } = this.full
    const isPressing = Date.now() >= pressing
    const kind = this.isFastDue && !isPressing ? 'fast' : 'full'
    // A full pass does what a fast one does, before it looks.
    this.isFastDue = false
    if (kind === 'full') this.fullAsked = null
    const controller = new AbortController()
    if (kind === 'full' && !isPressing) this.giveUp = controller
    this.running = this.pass(kind, controller.signal).then(good => {
      this.running = null
      this.giveUp = null
      this.lastEnd = Date.now()
      if (good === null) this.fullAsked = due
      else if (kind === 'full') {
        this.lastFull = this.lastEnd
        this.retry = good ? 0 : this.retry + 1
      } else if (!good && this.retry === 0) {
        this.retry = 1
      }
      this.schedule()
    })
  }
}
