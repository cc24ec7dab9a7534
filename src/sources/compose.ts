/**
 * A compose file's `ports:` and the mesh's labels as publications. Of all that such a
 * file may hold, only this is read: the project's name, each service's ports and labels.
 * Pure.
 */
import { basename, dirname, resolve } from 'node:path'
import * as z from 'zod'
import { InputError } from '../errors.js'
import { publishLabel } from '../model/declaration.js'
import { lengthOf, type PortSpec, parsePortSpec } from '../model/ports.js'
import { checkService, type Publication, publicationOf } from '../model/publication.js'
import { composeProjectLabel, composeServiceLabel } from '../model/service.js'
import { parseFields } from '../model/service-fields.js'
import { type Environment, substitute } from './compose-variables.js'
import { isAsked, knownLabels, labelOfField, textOfLabels } from './mesh-labels.js'
import { type Path, readYaml, type YamlFile } from './yaml-door.js'

const textOrNumber = z.union([z.string(), z.int()])

const longPort = z.object({
  target: textOrNumber,
  published: textOrNumber.nullish(),
  protocol: z.string().nullish(),
  host_ip: z.string().nullish(),
})
type LongPort = z.infer<typeof longPort>

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()])

const labelsForm = z.union([z.array(z.string()), z.record(z.string(), scalar)]).nullish()

const composeFile = z.object({
  name: z.string().nullish(),
  services: z.record(
    z.string(),
    z
      .object({
        ports: z.array(z.union([textOrNumber, longPort])).nullish(),
        labels: labelsForm,
        deploy: z.object({ labels: labelsForm }).nullish(),
      })
      .nullable(),
  ),
})
type ComposeFile = z.infer<typeof composeFile>

function remedyAt(path: Path): string {
  if (path.length <= 2)
    return 'write services by name, as in services: {web: {image: web, ports: ["8888:80"]}}'
  return path[2] === 'labels' || path[2] === 'deploy'
    ? 'write labels as a mapping or a list of label=value'
    : 'write ports as in "8888:80", or with target: and published:'
}

/**
 * Reads a compose file. `fileName`'s directory names the project unless the file
 * does, so it should be absolute; `environment` is for `${VARIABLES}`. Services that
 * ask for nothing are left out. Throws InputError naming line and field.
 */
export function servicesFromCompose(
  text: string,
  fileName: string,
  environment: Environment = {},
): Publication[] {
  const file = readYaml(text, fileName, composeFile, remedyAt)
  const filled = (path: Path, value: string) => file.read(path, () => substitute(value, environment))
  const project = projectOf(file, fileName, environment, filled)
  const publications: Publication[] = []
  for (const [name, entry] of Object.entries(file.value.services)) {
    const ports = (entry?.ports ?? []).flatMap((port, index) => {
      const path = ['services', name, 'ports', index]
      if (typeof port !== 'object') {
        const short = filled(path, String(port))
        return file.read(path, () => shortPorts(short))
      }
      const long = JSON.parse(JSON.stringify(port), (_, value) =>
        typeof value === 'string' ? filled(path, value) : value,
      ) as LongPort
      return file.read(path, () => [longPortSpec(long)])
    })
    const labels = labelsOf(name, entry)
    const read = <Value>(label: string, parse: () => Value) =>
      file.read(labels.get(label)?.path ?? ['services', name], parse)
    const values = new Map(
      [...labels].map(([label, { value }]) => [label, read(label, () => substitute(value, environment))]),
    )
    const text = textOfLabels(label => values.get(label))
    const publish = values.get(publishLabel)
    if (ports.length === 0 && !isAsked(text, publish)) continue
    const more = read(publishLabel, () => publish?.split(',').map(parsePortSpec) ?? [])
    const publication = publicationOf(`${project}/${name}`, {
      ...parseFields(text, (field, _index, parse) =>
        read(field === 'selector' ? '' : labelOfField[field], parse),
      ),
      ports: [...ports, ...more],
      selector: { [composeProjectLabel]: project, [composeServiceLabel]: name },
    })
    file.read(['services', name], () => checkService(publication))
    publications.push(publication)
  }
  return publications
}

function projectOf(
  file: YamlFile<ComposeFile>,
  fileName: string,
  environment: Environment,
  filled: (path: Path, value: string) => string,
): string {
  const fromFile = file.value.name ? filled(['name'], file.value.name) : ''
  const given = environment.COMPOSE_PROJECT_NAME || fromFile
  const project = given || projectName(basename(dirname(resolve(fileName))))
  if (/^[a-z0-9][a-z0-9_-]*$/.test(project)) return project
  throw new InputError(
    file.at(given === '' ? [] : ['name']),
    project,
    given === '' ? `the directory of ${fileName} gives the project no name` : 'this is no name for a project',
    'set name: to lower-case letters, digits, "-" and "_"',
  )
}

/** A directory's name made a project's as compose does it: lower case, without other characters. */
export function projectName(directory: string): string {
  return directory
    .toLowerCase()
    .replace(/[^a-z0-9_-]/g, '')
    .replace(/^[_-]+/, '')
}

/** Short syntax. `3000-3005` without published ports is six ports, each to be chosen. */
function shortPorts(text: string): PortSpec[] {
  const alone = /^(\d+)-(\d+)(\/\w+)?$/.exec(text)
  if (!alone) return [parsePortSpec(text)]
  const { target, protocol, address } = parsePortSpec(`${alone[1]}-${alone[2]}:${text}`)
  return Array.from({ length: lengthOf(target) }, (_, index) => {
    const port = target.first + index
    return { protocol, address, published: null, target: { first: port, last: port } }
  })
}

/** Long syntax. `mode` says nothing to a mesh that answers on every node; `name`, `app_protocol` neither. */
function longPortSpec({ target, published, protocol, host_ip }: LongPort): PortSpec {
  const address = host_ip ? `${host_ip.includes(':') ? `[${host_ip}]` : host_ip}:` : ''
  const door = published === undefined || published === null ? '' : String(published)
  return parsePortSpec(`${address}${door}:${target}/${protocol || 'tcp'}`)
}

/** The mesh's labels of a service and where they are written; those of the containers before those under `deploy:`. */
function labelsOf(
  name: string,
  entry: ComposeFile['services'][string],
): Map<string, { readonly value: string; readonly path: Path }> {
  const found = new Map<string, { value: string; path: Path }>()
  for (const [place, labels] of [
    [['deploy', 'labels'], entry?.deploy?.labels],
    [['labels'], entry?.labels],
  ] as const)
    for (const [label, value] of pairsOf(labels))
      if (knownLabels.includes(label)) found.set(label, { value, path: ['services', name, ...place, label] })
  return found
}

function pairsOf(labels: z.infer<typeof labelsForm>): (readonly [string, string])[] {
  if (!Array.isArray(labels))
    return Object.entries(labels ?? {}).map(([key, value]) => [key, String(value ?? '')])
  return labels.map(label => {
    const equals = label.indexOf('=')
    return equals < 0 ? [label, ''] : [label.slice(0, equals), label.slice(equals + 1)]
  })
}
