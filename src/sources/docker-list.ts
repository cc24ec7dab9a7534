/**
 * Docker's list of containers, checked at the door: only who is there, and for each
 * a signature that tells in the next list whether it must be inspected. Pure.
 */
import * as z from 'zod'

const listAnswer = z.array(
  z.object({
    Id: z.string(),
    State: z.string(),
    Status: z.string(),
    Names: z.array(z.string()).nullish(),
    NetworkSettings: z.object({ Networks: z.record(z.string(), z.unknown()).nullish() }).nullish(),
  }),
)

/**
 * Id → signature. A restart between two lists may leave it the same: whoever
 * compares must look at the process too. Throws ZodError.
 */
export function parseList(answer: unknown): Map<string, string> {
  const signatures = new Map<string, string>()
  for (const { Id, State, Status, Names, NetworkSettings } of listAnswer.parse(answer)) {
    // Status is a sentence with the time in it, "Up 5 minutes (healthy)"; only the health matters.
    const health = /\(([^)]*)\)$/.exec(Status)?.[1] ?? ''
    signatures.set(Id, JSON.stringify([State, health, Names, NetworkSettings?.Networks]))
  }
  return signatures
}
