/**
 * The labels of a Swarm service, by which a stack file publishes it:
 *
 *   mesh.publish    8888:80/tcp,9000-9010:9000-9010    as in meshctl publish
 *   mesh.endpoint   10.1.2.3:5432                      optional, as all that follow
 *   mesh.scheduler  lc
 *   mesh.drain      2m
 *
 * Without mesh.publish the others mean nothing. Pure.
 */
import { InputError } from '../errors.js'
import { type Declaration, publishLabel } from '../model/declaration.js'
import { parseDrain } from '../model/duration.js'
import { parseEndpoint } from '../model/endpoint.js'
import { nearest } from '../model/nearest.js'
import { parsePortSpec } from '../model/ports.js'
import { checkTargets, parseScheduler, publicationOf } from '../model/publication.js'
import { swarmServiceLabel } from '../model/service.js'

const endpointLabel = 'mesh.endpoint'
const schedulerLabel = 'mesh.scheduler'
const drainLabel = 'mesh.drain'
const known = [publishLabel, endpointLabel, schedulerLabel, drainLabel]

/** Names of the mesh's labels begin so; all others are none of its business. */
const prefix = 'mesh.'

/** What the labels of the Swarm service `name` declare; null: nothing. */
export function parseLabels(name: string, labels: Readonly<Record<string, string>>): Declaration | null {
  const problems: string[] = []
  for (const label of Object.keys(labels).sort())
    if (label.startsWith(prefix) && !known.includes(label)) problems.push(unknown(label))

  /** What a parser makes of a label; its complaint is noted with the label's name. */
  function read<Value>(label: string, parse: (text: string) => Value): Value | undefined {
    const text = labels[label]
    if (text === undefined) return undefined
    try {
      return parse(text)
    } catch (error) {
      if (!(error instanceof InputError)) throw error
      problems.push(`label ${label}: "${error.value}": ${error.problem}; ${error.remedy}`)
      return undefined
    }
  }

  if (labels[publishLabel] === undefined)
    return problems.length === 0 ? null : { name, publication: null, problems }
  const ports = read(publishLabel, text => text.split(',').map(parsePortSpec))
  const endpoints = read(endpointLabel, text => text.split(',').map(each => parseEndpoint(each)))
  const scheduler = read(schedulerLabel, text => parseScheduler(text.trim()))
  const drain = read(drainLabel, text => parseDrain(text))
  const publication = publicationOf(name, {
    selector: { [swarmServiceLabel]: name },
    ...(ports && { ports }),
    ...(endpoints && { endpoints }),
    ...(scheduler && { scheduler }),
    ...(drain !== undefined && { drain }),
  })
  read(endpointLabel, () => checkTargets(publication))
  return problems.length === 0 ? { name, publication, problems } : { name, publication: null, problems }
}

function unknown(label: string): string {
  const near = nearest(label, known)
  return `label ${label}: the mesh knows no such label; ${near ? `did you mean ${near}?` : `it knows ${known.join(', ')}`}`
}
