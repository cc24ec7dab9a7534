/**
 * Two managers of a swarm as one mesh over etcd. Its subjects, each in a file of two-nodes/,
 * share one boot, which takes longer than some of them; each takes away what it has made.
 */
import t from 'tap'
import { SwarmMesh } from '../helpers/swarm-mesh.js'
import { addresses } from './two-nodes/addresses.js'
import { adopt } from './two-nodes/adopt.js'
import { endings } from './two-nodes/endings.js'
import { labels } from './two-nodes/labels.js'
import { updates } from './two-nodes/updates.js'

const swarm = await SwarmMesh.start(t, 2)

t.test('labels of services', t => labels(t, swarm))
t.test('names and addresses of a stack', t => addresses(t, swarm))
t.test('ports taken over from Docker, and given back', t => adopt(t, swarm))
t.test('what Swarm is about to stop', t => endings(t, swarm))
t.test('updates of a service', t => updates(t, swarm)) // the last, as it leaves a node drained
