/**
 * Settings of the planner as meshd has them unless told otherwise, of a mesh without VIPs.
 */
import type { PlanSettings } from '../../src/planner/base.js'

export const planSettings: PlanSettings = {
  sandboxPath: '/run/netns/mesh',
  mtu: 1500,
  tcpTimeout: 7500,
  tcpFinTimeout: 120,
  udpTimeout: 300,
  kernelRelease: '6.1.0',
  formerIpForward: '1',
  ipv6: null,
}
