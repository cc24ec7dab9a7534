/**
 * meshd as it is really run, in a container of a lab's node: its image, and the
 * `docker run` of README.md.
 */
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { must, type Node } from './lab.js'

/** What README.md has between `docker run` and the image. */
export const asMeshd = [
  ...['--privileged', '--network', 'host', '--pid', 'host'],
  ...['-v', '/run:/run:rshared', '-v', '/var/lib/mesh:/var/lib/mesh'],
  ...['-v', '/etc/mesh:/etc/mesh:ro', '-v', '/lib/modules:/lib/modules:ro'],
]

/** The docker command with that node's Engine; its output. */
export function docker(node: Node, ...args: string[]): Promise<string> {
  return must(['scripts/nodes', 'cli', node.name, ...args])
}

/** Gives a node the image of scripts/image/meshd, with Dockerfile's entry and a label, so that versions differ. Without HEALTHCHECK: here it takes a second of the only CPU. */
export async function giveImage(node: Node, name: string): Promise<void> {
  const instructions = readFileSync('Dockerfile', 'utf8').match(/^ENTRYPOINT .*$/gm) ?? []
  const options = [...instructions, `LABEL version=${name}`].flatMap(each => ['-c', each])
  await must(['scripts/nodes', 'image', node.name, `${process.cwd()}/.lab/meshd`, name, ...options])
}

/** Gives a node an image with nothing but the machine's own etcd. */
export async function giveEtcdImage(node: Node, name: string): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'etcd-image-'))
  const script = `
    mkdir -p "$0"/usr/bin "$0"/usr/lib "$0"/usr/lib64 "$0"/proc "$0"/sys "$0"/dev "$0"/etc "$0"/run
    for directory in bin lib lib64; do ln -s usr/$directory "$0"/$directory; done
    cp -L "$(command -v etcd)" "$0"/bin/etcd
    cp -L --parents $(ldd "$0"/bin/etcd | grep -oE '/[^ :]+\\.so[^ :]*') "$0"`
  await must(['bash', '-euc', script, root])
  await must(['scripts/nodes', 'image', node.name, root, name])
}
