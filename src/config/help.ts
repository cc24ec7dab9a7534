/**
 * What `meshd --help` prints: the table of settings as a page to learn from. Pure.
 */
import { defaultConfigFile, variableOf } from './config.js'
import { settingList } from './table.js'

const opening = `meshd keeps this node's kernel as the mesh wants it: it finds the containers that
answer for each published service and programs IPVS, ipset, iptables and routes for
them. Packets never pass through it, so it can be stopped, restarted and upgraded
while connections go on. It runs as root until it gets SIGTERM, which leaves the
kernel as it is; \`meshctl clean\` takes everything away.

usage: meshd [--config FILE] [--SETTING VALUE]…

  meshd                                 all defaults; then: meshctl publish 8888:80 web
  meshd --log-level debug --resync 10
  MESH_METRICS=127.0.0.1:9378 meshd

Each setting can be given as a flag, as a variable of the environment, or as a line
\`name: value\` of a YAML file. A flag wins over the environment, the environment over
the file, the file over the default. A value that makes no sense stops meshd before
it touches anything, with exit status 2.`

const closing = `Other
  --config FILE
      the YAML file; without it ${defaultConfigFile} is read if it is there.  [MESH_CONFIG]
  -h, --help
      this page.
  -V, --version
      the version.

MESH_TRACE=netlink prints every netlink message, decoded, both ways.`

export function helpText(): string {
  const groups: string[] = []
  for (const group of new Set(settingList.map(setting => setting.group))) {
    const lines = [group]
    for (const { name, placeholder, fallback, help, group: own } of settingList) {
      if (own !== group) continue
      lines.push(`  --${name} ${placeholder}`)
      lines.push(`      ${help}.`)
      lines.push(`      default ${fallback === '' ? 'none' : fallback}  [${variableOf(name)}]`)
    }
    groups.push(lines.join('\n'))
  }
  return [opening, ...groups, closing].join('\n\n')
}
