/**
 * The mesh's own file, strictly read:
 *
 *   services:
 *     web:
 *       ports: ["8888:80", "8000-8099:8000-8099/udp"]
 *       selector: {app: web}          # optional, as all that follow: else by the name
 *       endpoints: ["10.1.2.3:5432"]
 *       scheduler: rr
 *       drain: 30s
 *       vip: 10.253.1.3               # auto, none or an address
 *       vip-ports: ["8080:80/tcp"]    # these, or ports: above, there must be
 *       endpoint-mode: vip            # or dnsrr
 *       persist: 600s
 *       weights: ["version=canary:5"]
 *       aliases: [shop]
 *       scopes: [team-a]
 *
 * Pure. Also tells this kind of file from a compose file.
 */
import { basename } from 'node:path'
import { isMap, isScalar, parseDocument } from 'yaml'
import * as z from 'zod'
import { InputError } from '../errors.js'
import { parseServiceName } from '../model/names.js'
import { parsePortSpec } from '../model/ports.js'
import { checkService, type Publication, publicationOf } from '../model/publication.js'
import { schedulers } from '../model/service.js'
import { type GivenField, parseFields } from '../model/service-fields.js'
import { servicesFromCompose } from './compose.js'
import { type Path, readYaml } from './yaml-door.js'

const textOrNumber = z.union([z.string(), z.int()])

const serviceEntry = z.strictObject({
  ports: z.array(textOrNumber).optional(),
  selector: z.record(z.string(), z.union([z.string(), z.int(), z.boolean()])).optional(),
  endpoints: z.array(z.string()).optional(),
  scheduler: z.string().optional(),
  drain: z.union([z.string(), z.number()]).optional(),
  vip: z.string().optional(),
  'vip-ports': z.array(textOrNumber).optional(),
  'endpoint-mode': z.string().optional(),
  persist: z.union([z.string(), z.number()]).optional(),
  weights: z.array(z.string()).optional(),
  aliases: z.array(z.string()).optional(),
  scopes: z.array(z.string()).optional(),
})
const meshFile = z.strictObject({ services: z.record(z.string(), serviceEntry) })

const fields = Object.keys(serviceEntry.shape)

const fieldRemedies: Record<string, string> = {
  ports: 'write a list, as in ports: ["8888:80"]',
  selector: 'write labels and their values, text in quotes, as in selector: {app: "web"}',
  endpoints: 'write a list, as in endpoints: ["10.1.2.3:5432"]',
  scheduler: `use one of ${schedulers.join(', ')}`,
  drain: 'write a length of time, as in drain: 30s',
  vip: 'write auto, none or an address in quotes, as in vip: "10.253.1.3"',
  'vip-ports': 'write a list, as in vip-ports: ["8080:80"]',
  'endpoint-mode': 'write vip or dnsrr',
  persist: 'write a length of time, as in persist: 600s',
  weights: 'write a list, as in weights: ["version=canary:5"]',
  aliases: 'write a list, as in aliases: [shop]',
  scopes: 'write a list, as in scopes: [team-a]',
}

/** Where the file's name for a field is another. */
const keys: Partial<Record<GivenField, string>> = {
  vipPorts: 'vip-ports',
  endpointMode: 'endpoint-mode',
  persistence: 'persist',
}

function remedyAt(path: Path): string {
  if (path.length === 0) return 'a mesh file holds services: and nothing else'
  if (path.length === 1) return 'write services by name, as in services: {web: {ports: ["8888:80"]}}'
  if (path.length === 2) return `a service has the fields ${fields.join(', ')}`
  return fieldRemedies[String(path[2])] ?? ''
}

/** Reads a mesh file; `fileName` is for messages. Throws InputError naming line and field. */
export function servicesFromMeshFile(text: string, fileName: string): Publication[] {
  const file = readYaml(text, fileName, meshFile, remedyAt)
  return Object.entries(file.value.services).map(([name, entry]) => {
    const here: Path = ['services', name]
    const { selector, ports = [], 'vip-ports': vipPorts, 'endpoint-mode': endpointMode, ...text } = entry
    file.read(here, () => parseServiceName(name))
    if (selector && Object.keys(selector).length === 0)
      throw new InputError(
        file.at([...here, 'selector']),
        '{}',
        'an empty selector matches nothing',
        'name a label, or leave selector out to go by the name',
      )
    const fields = parseFields(
      { ...text, vipPorts: vipPorts?.map(String), endpointMode, persistence: text.persist },
      (field, index, parse) =>
        file.read([...here, keys[field] ?? field, ...(index === null ? [] : [index])], parse),
    )
    const publication = publicationOf(name, {
      ...fields,
      ports: ports.map((port, index) =>
        file.read([...here, 'ports', index], () => parsePortSpec(String(port))),
      ),
      ...(selector && {
        selector: Object.fromEntries(Object.entries(selector).map(([key, value]) => [key, String(value)])),
      }),
    })
    file.read(here, () => checkService(publication))
    return publication
  })
}

/**
 * Which kind of file this is: by its usual name, else by what is in it — anything
 * a mesh file never has at its top, or a service with a field that only compose knows.
 */
export function kindOfFile(text: string, fileName: string): 'mesh' | 'compose' {
  const name = basename(fileName)
  if (/^(docker-)?compose\b.*\.ya?ml$/.test(name)) return 'compose'
  if (/^mesh\b.*\.ya?ml$/.test(name)) return 'mesh'
  const root = parseDocument(text).contents
  if (!isMap(root)) return 'mesh'
  const keysOf = (node: unknown): string[] =>
    isMap(node) ? node.items.flatMap(item => (isScalar(item.key) ? [String(item.key.value)] : [])) : []
  const composeRoot = /^(version|name|networks|volumes|configs|secrets|include|x-.*)$/
  const composeService =
    /^(image|build|extends|command|environment|networks|volumes|deploy|labels|container_name|restart|depends_on|network_mode|x-.*)$/
  if (keysOf(root).some(key => composeRoot.test(key))) return 'compose'
  const services = root.get('services', true)
  const entries = isMap(services) ? services.items.map(item => item.value) : []
  return entries.some(entry => keysOf(entry).some(key => composeService.test(key))) ? 'compose' : 'mesh'
}

/** Reads either kind; `environment` is for a compose file's variables. Throws InputError. */
export function servicesFromFile(
  text: string,
  fileName: string,
  environment: Readonly<Record<string, string | undefined>> = {},
): Publication[] {
  return kindOfFile(text, fileName) === 'compose'
    ? servicesFromCompose(text, fileName, environment)
    : servicesFromMeshFile(text, fileName)
}
