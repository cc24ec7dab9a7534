/**
 * The failures: what is done, and what is done to be rid of it. Each leaves the stage
 * as it was, but for the time that it takes to settle.
 */
import { sleep } from '../../test/helpers/wait.js'
import type { Stage } from './stage.js'
import { type Limits, meshPort } from './watch.js'

export interface Step {
  readonly title: string
  /** Does it; back when it has begun to hurt. A string that comes back belongs to the table. */
  readonly act: (stage: Stage) => Promise<unknown>
  readonly limits: Limits
  /** Something that goes on while it is looked; see report.ts. */
  readonly lasting?: boolean
}

export interface Failure {
  /** What it is called on the command line. */
  readonly name: string
  /** Clients come in through all nodes, or through those that do not fail. */
  readonly entries: 'all' | 'others'
  readonly steps: readonly Step[]
}

const usual: Limits = { least: 12, most: 40 }
const brief: Limits = { least: 10, most: 40 }

export const failures: readonly Failure[] = [
  {
    name: 'link-cut',
    entries: 'others',
    steps: [
      {
        title: "a node's link cut, both directions",
        act: ({ victim }) => victim.link('cut'),
        limits: { least: 60, most: 60 },
      },
      { title: 'that node healed after 60 s', act: ({ victim }) => victim.link('heal'), limits: usual },
    ],
  },
  {
    name: 'link-one-way',
    entries: 'others',
    steps: [
      { title: 'what a node sends is lost', act: stage => stage.lose(stage.victim, 100), limits: usual },
      { title: 'and arrives again', act: stage => stage.lose(stage.victim, 0), limits: brief },
    ],
  },
  {
    name: 'power',
    entries: 'others',
    steps: [
      { title: "a node's power lost", act: ({ victim }) => victim.power('off'), limits: usual },
      {
        title: 'that node boots again',
        async act(stage) {
          await stage.victim.power('on')
          await stage.victim.startDocker()
          await stage.startAgent(stage.victim)
        },
        limits: usual,
      },
    ],
  },
  {
    name: 'dockerd',
    entries: 'all',
    steps: [
      { title: 'dockerd killed', act: stage => stage.killProgram(stage.victim, 'dockerd'), limits: usual },
      { title: 'dockerd started again', act: ({ victim }) => victim.startDocker(), limits: usual },
    ],
  },
  {
    name: 'meshd',
    entries: 'all',
    steps: [
      { title: 'meshd killed', act: stage => stage.killAgent(stage.victim), limits: brief },
      { title: 'meshd started again', act: stage => stage.startAgent(stage.victim), limits: brief },
    ],
  },
  {
    name: 'etcd-member',
    entries: 'all',
    steps: [
      {
        title: 'one of three etcd members killed, the leader',
        act: stage => stage.killMembers(1),
        limits: brief,
      },
      { title: 'that member started again', act: stage => stage.startMembers(), limits: brief },
    ],
  },
  {
    name: 'etcd-quorum',
    entries: 'all',
    steps: [
      {
        title: 'two of three etcd members killed',
        async act(stage) {
          await stage.killMembers(2)
          await sleep(6)
          return published(stage)
        },
        limits: usual,
      },
      { title: 'these members started again', act: stage => stage.startMembers(), limits: brief },
    ],
  },
  {
    name: 'loss',
    entries: 'all',
    steps: [
      {
        title: "5 % of a node's packets lost, each way",
        act: stage => stage.lose(stage.victim, 5, true),
        limits: { least: 20, most: 20 },
        lasting: true,
      },
      { title: 'none lost any more', act: stage => stage.lose(stage.victim, 0), limits: brief },
    ],
  },
  {
    name: 'container-kill',
    entries: 'all',
    steps: [
      {
        title: 'a container killed with -9',
        async act(stage) {
          const { victim } = stage
          const { State } = await victim.docker.inspect(await stage.containerOn(victim))
          await victim.must('kill', '-KILL', String(State.Pid))
        },
        limits: brief,
      },
    ],
  },
  {
    name: 'container-stop',
    entries: 'all',
    steps: [
      {
        title: 'a container stopped gracefully',
        act: async stage => stage.victim.docker.container(await stage.containerOn(stage.victim), 'stop'),
        limits: brief,
      },
    ],
  },
]

/** What each node says while etcd cannot. */
async function published(stage: Stage): Promise<string> {
  const said = await Promise.all(
    stage.nodes.map(async node => {
      const { status, stdout } = await node.meshctl('ls')
      const { healthy } = await stage.meshOf(node).client.status()
      return { knows: status === 0 && stdout.includes(String(meshPort)), healthy }
    }),
  )
  const knowing = said.filter(({ knows }) => knows).length
  const complaining = said.filter(({ healthy }) => !healthy).length
  if (knowing < said.length)
    throw new Error(`only ${knowing} of ${said.length} nodes could say what is published`)
  return `without a quorum \`meshctl ls\` lists ${meshPort} on ${knowing} of ${said.length} nodes, and \`meshctl status\` says on ${complaining} of them what is wrong`
}
