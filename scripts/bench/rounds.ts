/**
 * Samples of several figures over several rounds.
 */
import type { Row } from './report.js'

export class Rounds {
  private readonly samples = new Map<string, number[]>()

  add(name: string, value: number): void {
    const list = this.samples.get(name)
    if (list) list.push(value)
    else this.samples.set(name, [value])
  }

  of(name: string): number[] {
    return this.samples.get(name) ?? []
  }

  row(name: string, unit = 'ms', goal?: number): Row {
    return { name, unit, samples: this.of(name), ...(goal === undefined ? {} : { goal }) }
  }
}
