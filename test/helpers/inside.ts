/**
 * Clients of the test server `web` that are not outside: on a lab's node itself, or in
 * one of its containers. Programs of the lab, run in the network namespace in question.
 */
import { type Answer, parseAnswer } from './clients.js'
import { type Node, run } from './lab.js'

/** Seconds an answer may take. */
const patience = '3'

/** The node's own namespace, or that of a container of it. */
export async function namespaceOf(node: Node, container?: string): Promise<string> {
  if (container === undefined) return `/proc/${node.pid}/ns/net`
  const { State } = await node.docker.inspect(container)
  return `/proc/${node.pid}/root/proc/${State.Pid}/ns/net`
}

async function answerOf(namespace: string, argv: readonly string[]): Promise<Answer> {
  const { status, stdout, stderr } = await run(['nsenter', `--net=${namespace}`, ...argv])
  if (status !== 0) throw new Error(`${argv.join(' ')}: status ${status}: ${stderr}`)
  return parseAnswer(stdout)
}

/** One HTTP request. Rejects with what curl says: its status is 7 for a refusal, 28 for silence. */
export function askIn(namespace: string, address: string, port: number): Promise<Answer> {
  return answerOf(namespace, ['curl', '-sS', '-m', patience, `http://${address}:${port}/`])
}

/** One datagram from a connected socket, which takes no answer from any other address. */
export function askUdpIn(namespace: string, address: string, port: number): Promise<Answer> {
  const script = 'exec 3<>"/dev/udp/$0/$1" && echo x >&3 && head -1 <&3'
  return answerOf(namespace, ['timeout', patience, 'bash', '-c', script, address, String(port)])
}
