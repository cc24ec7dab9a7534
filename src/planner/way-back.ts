/**
 * The rules that lead a reply to the node by which its connection came in, found by the
 * node's number in the packet's mark. Pure.
 *
 * The kernel walks rules one by one, for every packet. So numbers are in sections of 64:
 * a rule for each section, and in it one for each node. What bears no number, requests
 * above all, is past all of them after the first.
 *
 *   1095  fwmark 0                  goto 32766
 *   1096  fwmark 0x40/0xffffffc0    goto 2002         a section that has nodes
 *   1097  fwmark 0x1                lookup 0x10001    nodes 1–63 need no section
 *   1098                            goto 32766
 *   2002  fwmark 0x40               lookup 0x10040
 *   2003                            goto 32766
 */
import type { RuleObject } from '../kernel/objects.js'
import { ipv4, type Stack } from './stack.js'

const sectionBits = 6
const sectionMask = 0xffffffff - (2 ** sectionBits - 1)
const firstPriority = 1095
/** Section S has the priorities this plus 2 S, for its nodes, and the one after. */
const sectionPriority = 2000
/** Priority of the kernel's own `lookup main` (fib_default_rules_init, net/ipv4/fib_rules.c). */
const mainPriority = 32766

function rule(priority: number, more: Partial<RuleObject>): RuleObject {
  return { kind: 'rule', place: 'mesh', priority, source: ipv4.everywhere, table: 0, ...more }
}

/** The same rules for another family. */
export function inFamily(rules: readonly RuleObject[], { everywhere }: Stack): RuleObject[] {
  return rules.map(each => ({ ...each, source: everywhere }))
}

/** Routing table of the way back to a node. */
export function wayBackTable(number: number): number {
  return 0x10000 + number
}

/** The section of a node's number, 0–1023. */
export function sectionOf(number: number): number {
  return number >>> sectionBits
}

/** The rule of one node. */
export function wayBackRule(number: number): RuleObject {
  const section = sectionOf(number)
  const priority = section === 0 ? firstPriority + 2 : sectionPriority + 2 * section
  return rule(priority, { fwmark: number, table: wayBackTable(number) })
}

/** What there is with and without other nodes. */
export function wayBackFrame(): RuleObject[] {
  return [
    rule(firstPriority, { fwmark: 0, goto: mainPriority }),
    rule(firstPriority + 3, { goto: mainPriority }),
  ]
}

/** What a section needs as long as it has a node; not for section 0. */
export function wayBackSection(section: number): RuleObject[] {
  const priority = sectionPriority + 2 * section
  const fwmark = section * 2 ** sectionBits
  return [
    rule(firstPriority + 1, { fwmark, fwmask: sectionMask, goto: priority }),
    rule(priority + 1, { goto: mainPriority }),
  ]
}
