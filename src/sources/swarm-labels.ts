/**
 * The labels of a Swarm service, by which a stack file publishes it or gives it a VIP:
 *
 *   mesh.publish        8888:80/tcp,9000-9010:9000-9010    as in meshctl publish
 *   mesh.vip            auto, none or an address           by default auto
 *   mesh.port           8080:80,53/udp                     ports of the VIP, as in meshctl service create
 *   mesh.endpoint-mode  vip or dnsrr
 *   mesh.persist        600s
 *   mesh.weight         version=canary:5,version=stable:95
 *   mesh.alias          db,db.shop
 *   mesh.scope          team-a,team-b
 *   mesh.endpoint       10.1.2.3:5432
 *   mesh.scheduler      lc
 *   mesh.drain          2m
 *
 * Without one of the first four the others mean nothing, but for mesh.scope: its containers
 * have these scopes as callers, though nothing leads to them. Pure.
 */
import { InputError } from '../errors.js'
import { type Declaration, publishLabel } from '../model/declaration.js'
import { attachLabel } from '../model/mesh.js'
import { nearest } from '../model/nearest.js'
import { parsePortSpec } from '../model/ports.js'
import { checkService, publicationOf } from '../model/publication.js'
import { swarmServiceLabel } from '../model/service.js'
import { type GivenField, parseFields } from '../model/service-fields.js'
import { isAsked, knownLabels, labelOfField, textOfLabels } from './mesh-labels.js'

/** Names of the mesh's labels begin so; all others are none of its business. */
const prefix = 'mesh.'

/** What the labels of the Swarm service `name` declare; null: nothing. */
export function parseLabels(name: string, labels: Readonly<Record<string, string>>): Declaration | null {
  const problems: string[] = []
  for (const label of Object.keys(labels).sort())
    if (label.startsWith(prefix) && !knownLabels.includes(label)) problems.push(unknown(label))

  /** What `parse` makes of a label; its complaint is noted with the label's name. */
  function read<Value>(label: string | null, parse: () => Value): Value | undefined {
    try {
      return parse()
    } catch (error) {
      if (!(error instanceof InputError)) throw error
      const { field, value, problem, remedy } = error
      problems.push(`label ${label ?? prefix + field}: "${value}": ${problem}; ${remedy}`)
      return undefined
    }
  }
  const readField = <Value>(field: GivenField, _index: number | null, parse: () => Value) =>
    read(field === 'selector' ? null : labelOfField[field], parse)

  const publish = labels[publishLabel]
  const text = textOfLabels(label => labels[label])
  const isServed = isAsked(text, publish)
  if (!isServed && text.scopes === undefined)
    return problems.length === 0 ? null : { name, publication: null, problems }
  const ports = read(publishLabel, () => publish?.split(',').map(parsePortSpec))
  const publication = publicationOf(name, {
    ...(isServed
      ? parseFields(text, readField)
      : { ...parseFields({ scopes: text.scopes }, readField), vip: 'none' }),
    selector: { [swarmServiceLabel]: name },
    ...(ports && { ports }),
  })
  if (problems.length === 0 && isServed) read(null, () => checkService(publication))
  return problems.length === 0 ? { name, publication, problems } : { name, publication: null, problems }
}

function unknown(label: string): string {
  if (label === attachLabel)
    return `label ${label}: it is one of containers; write it under labels: of the service, not under deploy:`
  const near = nearest(label, knownLabels)
  return `label ${label}: the mesh knows no such label; ${near ? `did you mean ${near}?` : `it knows ${knownLabels.join(', ')}`}`
}
