#!/usr/bin/env node
/**
 * meshd: reads its settings and becomes the agent. Exit status 2 for settings that
 * make no sense, 1 for anything else that stops it.
 */
import { configure } from '../config/config.js'
import { helpText } from '../config/help.js'
import { MeshError, reasonOf } from '../errors.js'
import { compileLate } from './compiler.js'
import { packageVersion } from './version.js'

try {
  const { help, version, settings, warnings } = configure(process.argv.slice(2), process.env)
  if (help) process.stdout.write(`${helpText()}\n`)
  else if (version) process.stdout.write(`meshd ${packageVersion()}\n`)
  for (const warning of warnings) process.stderr.write(`meshd: warning: ${warning}\n`)
  if (settings) {
    // Loaded last: help and complaints need neither Docker's client nor the addon.
    compileLate()
    const { runAgent } = await import('../agent/run.js')
    await runAgent(settings, packageVersion())
  }
} catch (error) {
  process.stderr.write(`meshd: ${reasonOf(error)}\n`)
  // Not left to come by itself: what had begun by then may go on.
  process.exit(error instanceof MeshError && error.code === 'MESH_BAD_INPUT' ? 2 : 1)
}
