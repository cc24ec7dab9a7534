/**
 * A process that only writes to an embedded store, to be killed or to run out of
 * disk: `node store-writer.js FILE COUNT [PADDING]`. Prints the revision count of
 * each finished update, or the code and message of the error that stopped it.
 */
import { MeshError } from '../../src/errors.js'
import { EmbeddedStore } from '../../src/store/embedded.js'
import { aService } from './services.js'

const [path = '', updates = '1', padding = '0'] = process.argv.slice(2)
const store = new EmbeddedStore(path)
try {
  for (let done = 1; done <= Number(updates); done++) {
    const name = `s${done}-${'x'.repeat(Number(padding))}`
    await store.update(services => [...services, aService(name, 1000 + done)])
    process.stdout.write(`${done}\n`)
  }
} catch (error) {
  process.stdout.write(`${error instanceof MeshError ? error.code : 'other'} ${String(error)}\n`)
}
await store.close()
