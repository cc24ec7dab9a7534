/**
 * scripts/lab as its caller sees it; boots it three times.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import t from 'tap'

const lab = `${process.cwd()}/scripts/lab`
const missing =
  process.getuid?.() !== 0
    ? 'root is needed to boot the lab'
    : spawnSync('which', ['linux.uml']).status !== 0 && 'no linux.uml (package user-mode-linux)'

t.test('directory, environment, output and status pass through', { skip: missing }, async t => {
  const mark = `.lab/mark-${process.pid}`
  const script = `
    pwd; echo "$WORD $LAB"; head -c 300000 /dev/zero | tr '\\0' 'é\\n'; printf 'no newline' >&2
    [ -t 1 ] || echo no terminal; read line || echo no input
    echo inside >${mark}; echo lost >/root/lost-${process.pid}; exit 7`
  const result = spawnSync(lab, ['-t', '40', 'bash', '-c', script], {
    env: { ...process.env, WORD: 'two words\nand lines' },
    encoding: 'utf8',
  })
  t.equal(result.status, 7, result.stderr)
  t.equal(result.stderr, 'no newline')
  const [directory, word, rest] = result.stdout.split('\n')
  t.equal(directory, process.cwd())
  t.equal(`${word}\n${rest}`, 'two words\nand lines 1')
  t.ok(result.stdout.length > 300_000)
  t.match(result.stdout, /no terminal\nno input\n$/)
  t.equal(readFileSync(mark, 'utf8'), 'inside\n', 'the working directory is the real one')
  t.notOk(existsSync(`/root/lost-${process.pid}`), 'other directories forget')
  rmSync(mark)
})

t.test('-t ends a command that does not care about signals, status 124', { skip: missing }, async t => {
  const begun = performance.now()
  const result = spawnSync(lab, ['-t', '4', 'bash', '-c', 'trap "" TERM; while :; do sleep 1; done'])
  t.equal(result.status, 124)
  t.ok(performance.now() - begun < 20_000)
})

t.test('SIGTERM reaches the command, status 143', { skip: missing }, async t => {
  const child = spawn(lab, [
    '-t',
    '40',
    'bash',
    '-c',
    'trap "echo bye; exit 0" TERM; echo up; sleep 30 & wait',
  ])
  let output = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    output += text
    if (text.includes('up')) child.kill('SIGTERM')
  })
  const status = await new Promise(resolve => child.on('close', resolve))
  t.equal(status, 143)
  t.equal(output, 'up\nbye\n')
})

t.test('bad use and missing programs are told, status 125', async t => {
  t.equal(spawnSync(lab, [], { encoding: 'utf8' }).status, 125)
  t.match(spawnSync(lab, ['-t', 'soon', 'true'], { encoding: 'utf8' }).stderr, '-t soon: write whole seconds')
  const bare = spawnSync('/bin/bash', [lab, 'true'], { encoding: 'utf8', env: { PATH: '/bin-without' } })
  t.equal(bare.status, 125)
  t.match(bare.stderr, /linux\.uml \(package user-mode-linux\)/)
})
