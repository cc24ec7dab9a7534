/**
 * What a Swarm manager says about tasks, checked at the door. Pure.
 */
import * as z from 'zod'

export interface TaskView {
  /** Ids of the services the tasks belong to, each once. */
  readonly services: readonly string[]
  /** Ids of containers that run, as far as is known, and whose tasks shall run no more. Sorted. */
  readonly ending: readonly string[]
}

const taskList = z.array(
  z.object({
    ServiceID: z.string().nullish(),
    DesiredState: z.string(),
    Status: z.object({
      State: z.string(),
      ContainerStatus: z.object({ ContainerID: z.string().nullish() }).nullish(),
    }),
  }),
)

const serviceList = z.array(
  z.object({ ID: z.string(), UpdateStatus: z.object({ State: z.string().nullish() }).nullish() }),
)

/** States beyond `running`, in which a task does not run any more. swarmkit: TaskState, api/types.proto. */
export const pastStates = ['complete', 'shutdown', 'failed', 'rejected', 'remove', 'orphaned'] as const

const past: ReadonlySet<string> = new Set(pastStates)

/** Of a task on a node that was lost a day ago: its container may run all the same. */
const orphaned = 'orphaned'

/** Reads the answer of `GET /tasks`. Throws ZodError if it is not what is expected. */
export function parseTasks(answer: unknown): TaskView {
  const services = new Set<string>()
  const ending = new Set<string>()
  for (const { ServiceID, DesiredState, Status } of taskList.parse(answer)) {
    if (ServiceID) services.add(ServiceID)
    const container = Status.ContainerStatus?.ContainerID
    const mayRun = !past.has(Status.State) || Status.State === orphaned
    if (container && mayRun && past.has(DesiredState)) ending.add(container)
  }
  return { services: [...services], ending: [...ending].sort() }
}

/** Ids of all services in the answer of `GET /services`, and of those being updated or rolled back. */
export function parseUpdates(answer: unknown): { readonly all: string[]; readonly updated: string[] } {
  const services = serviceList.parse(answer)
  const isUpdated = (state: string | null | undefined) => state === 'updating' || state === 'rollback_started'
  return {
    all: services.map(({ ID }) => ID),
    updated: services.filter(each => isUpdated(each.UpdateStatus?.State)).map(({ ID }) => ID),
  }
}
