#!/usr/bin/env node
/**
 * meshd: reads its settings and becomes the agent. Exit status 2 for settings that
 * make no sense, 1 for anything else that stops it.
 */
import { MeshError, reasonOf } from '../errors.js'
import { tuneEngine } from './engine.js'
import { packageVersion } from './version.js'

tuneEngine()
try {
  const { configure } = await import('../config/config.js')
  const { help, version, settings, warnings } = configure(process.argv.slice(2), process.env)
  if (help) process.stdout.write(`${(await import('../config/help.js')).helpText()}\n`)
  else if (version) process.stdout.write(`meshd ${packageVersion()}\n`)
  for (const warning of warnings) process.stderr.write(`meshd: warning: ${warning}\n`)
  if (settings) {
    // Loaded last: help and complaints need neither Docker's client nor the addon.
    const { runAgent } = await import('../agent/run.js')
    await runAgent(settings, packageVersion())
  }
} catch (error) {
  process.stderr.write(`meshd: ${reasonOf(error)}\n`)
  // Not left to come by itself: what had begun by then may go on.
  process.exit(error instanceof MeshError && error.code === 'MESH_BAD_INPUT' ? 2 : 1)
}
