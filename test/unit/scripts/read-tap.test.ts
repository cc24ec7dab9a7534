import t from 'tap'
import { dealJobs } from '../../../scripts/testing/jobs.js'
import { readTap } from '../../../scripts/testing/read-tap.js'

const ended = (status: number | null, stderr = '') => ({ status, stderr, limit: 60 })

t.test('top-level tests are counted, and a failure is told once, by its innermost point', async t => {
  const tap = [
    'TAP version 14',
    'ok 1 - first',
    '# Subtest: second',
    '    ok 1 - inner',
    '    not ok 2 - ports are alike',
    '      ---',
    '      at:',
    '        fileName: test/unit/x.test.ts',
    '        lineNumber: 7',
    '      found: 8888',
    '      ...',
    '    1..2',
    'not ok 2 - second',
    '1..2',
    '',
  ].join('\n')
  const result = readTap(tap, ended(1))
  t.equal(result.passed, 1)
  t.equal(result.failed, 1)
  t.same(result.failures, ['second > ports are alike\nat test/unit/x.test.ts:7\nfound: 8888'])
})

t.test('skips at any depth are told with their reason', async t => {
  const tap =
    'TAP version 14\n# Subtest: a\n    ok 1 - b # SKIP no SCTP\n    1..1\nok 1 - a\nok 2 - c # SKIP\n1..2\n'
  const result = readTap(tap, ended(0))
  t.same(result.skips, ['a > b: no SCTP', 'c'])
  t.equal(result.passed, 1)
  t.equal(result.failed, 0)
})

t.test('a file that skips itself is a skip', async t => {
  const result = readTap('TAP version 14\n1..0 # SKIP no IPVS\n', ended(0))
  t.same(result.skips, ['the whole file: no IPVS'])
  t.equal(result.failed, 0)
})

const endings: [string, string, ReturnType<typeof ended>, RegExp][] = [
  ['ran no test', 'TAP version 14\n1..0\n', ended(0), /no test/],
  ['printed nothing', '', ended(0), /no test/],
  ['crashed after its tests', 'TAP version 14\nok 1 - a\n1..1\n', ended(139), /exit status 139/],
  [
    'crashed before the plan',
    'TAP version 14\nok 1 - a\n',
    ended(1, 'SyntaxError: x'),
    /SyntaxError|no plan/,
  ],
  ['took too long', 'TAP version 14\nok 1 - a\n', ended(124), /longer than 60 s/],
  ['lost its lab', 'TAP version 14\nok 1 - a\n', ended(null, 'panic'), /lab ended before.*\n.*panic/],
  ['broke its plan', 'TAP version 14\nok 1 - a\n1..2\n', ended(1), /incorrect number of tests/],
]
for (const [what, tap, ending, words] of endings)
  t.test(`a file that ${what} counts as failed`, async t => {
    const result = readTap(tap, ending)
    t.ok(result.failed >= 1)
    t.match(result.failures.join('\n'), words)
  })

t.test(
  'jobs: unit files alone and outside, the kernel layers dealt over the labs, a lab for each swarm file',
  async t => {
    const files = new Map([
      ['unit', ['u1', 'u2']],
      ['kernel', ['k1', 'k2', 'k3', 'k4.native.test.ts']],
      ['swarm', ['s1']],
    ] as const)
    const text = (native: boolean) =>
      dealJobs(files, native, 2).map(job => `${job.inLab ? 'lab' : 'here'} ${job.files.join(' ')}`)
    t.same(text(false), ['here u1', 'here u2', 'here k4.native.test.ts', 'lab k1 k3', 'lab k2', 'lab s1'])
    t.same(text(true), ['here u1', 'here u2', 'here k4.native.test.ts', 'here k1 k2 k3', 'lab s1'])
  },
)
