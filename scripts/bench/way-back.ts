/**
 * What the rules of the way back cost a look-up, which the kernel makes for every packet:
 * with the rules of many nodes one below the other, in sections as planner/way-back.ts
 * arranges them, and with none. The look-ups are asked for by netlink, hundreds in a
 * message; what a question costs beside its rules is in all three and taken off.
 */
import { ruleConfiguration } from '../../src/drivers/link-objects.js'
import type { RuleObject } from '../../src/kernel/objects.js'
import { NetlinkConnection } from '../../src/netlink/connection.js'
import type { Request } from '../../src/netlink/message.js'
import { addRoute, addRule, deleteRule, getLink } from '../../src/netlink/route.js'
import {
  sectionOf,
  wayBackFrame,
  wayBackRule,
  wayBackSection,
  wayBackTable,
} from '../../src/planner/way-back.js'
import { freshNamespace, runIn } from '../../test/helpers/namespaces.js'
import type { Options } from './parts.js'
import { median, type Row, type Section } from './report.js'

function inSections(count: number): RuleObject[] {
  const numbers = Array.from({ length: count }, (_, i) => i + 1)
  const sections = [...new Set(numbers.map(sectionOf))].filter(section => section > 0)
  return [...wayBackFrame(), ...sections.flatMap(wayBackSection), ...numbers.map(wayBackRule)]
}

function oneBelowTheOther(count: number): RuleObject[] {
  return Array.from({ length: count }, (_, i) => ({ ...wayBackRule(i + 1), priority: 1095 }))
}

/** Asks for the route of a packet to 192.0.2.1 with this mark. */
function lookUp(mark: number): Request {
  const payload = Buffer.alloc(28)
  payload.set([2, 32]) // struct rtmsg, linux/rtnetlink.h: AF_INET, the length of the destination
  payload.set([8, 0, 1, 0, 192, 0, 2, 1], 12) // RTA_DST
  payload.set([8, 0, 16, 0], 20) // RTA_MARK
  payload.writeUInt32LE(mark, 24)
  return { operation: 'look up', subject: `mark ${mark}`, type: 26, flags: 0, payload } // RTM_GETROUTE
}

export async function wayBack({ quick }: Options): Promise<Section[]> {
  const nodes = 1000
  const lookUps = quick ? 4000 : 20_000
  const rounds = quick ? 3 : 9
  // Ends with the process's own namespaces.
  const router = freshNamespace({ teardown: () => {} })
  for (const line of ['link add out0 type veth peer name far0', 'link set far0 up', 'link set out0 up'])
    runIn(router, ['ip', ...line.split(' ')])
  const connection = NetlinkConnection.open('route', router)
  const send = async (requests: readonly Request[]) => {
    for (const error of await connection.request(requests)) if (error) throw error
  }
  const linkIndex = (await connection.get(getLink('out0')))[0]!.index
  const way = { destination: '0.0.0.0/0', linkIndex, gateway: null, source: null, protocol: 109 }
  const tables = [254, ...Array.from({ length: nodes }, (_, i) => wayBackTable(i + 1))]
  await send(tables.map(table => addRoute({ ...way, table })))

  const layouts = { none: [], list: oneBelowTheOther(nodes), sections: inSections(nodes) }
  const marks = { 'no mark': 0, 'node in the middle': nodes / 2, 'last node': nodes }
  const samples = new Map<string, number[]>()
  const of = (name: string) => samples.get(name) ?? []
  for (let round = -1; round < rounds; round++)
    for (const [layout, rules] of Object.entries(layouts)) {
      await send(rules.map(rule => addRule(ruleConfiguration(rule))))
      for (const [mark, value] of Object.entries(marks)) {
        const questions = Array.from({ length: lookUps }, () => lookUp(value))
        const since = performance.now()
        await send(questions)
        const each = ((performance.now() - since) * 1e6) / lookUps
        if (round >= 0) samples.set(`${layout} ${mark}`, [...of(`${layout} ${mark}`), each])
      }
      await send(rules.map(rule => deleteRule(ruleConfiguration(rule))))
    }
  connection.close()

  const base = median(Object.keys(marks).flatMap(mark => of(`none ${mark}`)))
  const rows = Object.keys(marks).flatMap((mark): Row[] => {
    const more = (layout: string) => of(`${layout} ${mark}`).map(value => value - base)
    const ratio = median(of(`list ${mark}`)) / median(of(`sections ${mark}`))
    return [
      { name: `${mark}: in a list`, unit: 'ns', samples: more('list') },
      { name: `${mark}: in sections`, unit: 'ns', samples: more('sections') },
      { name: `${mark}: whole question, list ÷ sections`, unit: '×', samples: [ratio] },
    ]
  })
  return [
    {
      title: `The way back to one of ${nodes} nodes: what their rules add to a look-up`,
      rows,
      remarks: [
        `A question without any of the rules takes ${Math.round(base)} ns, nearly all of it netlink.`,
      ],
    },
  ]
}
