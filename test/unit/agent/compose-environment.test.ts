import t from 'tap'
import { environmentOf } from '../../../src/agent/compose-environment.js'

// biome-ignore lint/suspicious/noTemplateCurlyInString: compose variables
const text = 'ports: ["${PORT:-${OTHER}}:80", "$TARGET:$TARGET"]'

t.test('the variables that a file names, and no others', async t => {
  const environment = { PORT: '8080', TARGET: '', SECRET: 'x', COMPOSE_PROJECT_NAME: 'shop' }
  t.same(environmentOf(text, t.testdir({}), environment), {
    COMPOSE_PROJECT_NAME: 'shop',
    PORT: '8080',
    TARGET: '',
  })
})

t.test('what the environment has not is in .env beside the file', async t => {
  const directory = t.testdir({
    '.env': 'COMPOSE_PROJECT_NAME=shop\nPORT=1\n# OTHER=2\nTARGET="80"\nSECRET=x\n',
  })
  t.same(environmentOf(text, directory, { PORT: '8080' }), {
    COMPOSE_PROJECT_NAME: 'shop',
    PORT: '8080',
    TARGET: '80',
  })
})
