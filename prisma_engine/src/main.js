#!/usr/bin/env node
/**
 * Prisma's query engine as a program: takes the command line and environment of the binary `query-engine` 5.17.0 and
 * answers as it does.
 *
 *     Settings ──> Pool ──> Adapter ──> Engine (WebAssembly) ──> Server
 *                   └─ Metrics   └─ Faults ─┘
 *
 * It writes to standard output only for --version, and to standard error only why it ends: one line of JSON, without
 * the address of the database, which holds a password.
 */

import { readFileSync } from 'node:fs';

import { makeAdapter } from './adapter.js';
import { Engine } from './engine.js';
import { Faults } from './faults.js';
import { endWithParentOrBySignal } from './lifetime.js';
import { Metrics } from './metrics.js';
import { makePool } from './pool.js';
import { makeServer } from './server.js';
import { asksForVersion, readSettings } from './settings.js';
import { loadWasm } from './wasm.js';

/** @param {object} error as Prisma's engines write it @returns {never} */
function fail(error) {
  process.stderr.write(`${JSON.stringify(error)}\n`);
  process.exit(1);
}

/** @param {Error} error @returns {never} */
function failWith(error) {
  fail({ is_panic: false, message: error.message, backtrace: null });
}

/** @param {string} message @returns {never} */
function panic(message) {
  fail({ is_panic: true, message, backtrace: null });
}

async function main(argv) {
  const wasm = loadWasm(panic);
  if (asksForVersion(argv)) {
    process.stdout.write(`query-engine ${wasm.commit}\n`);
    return;
  }
  endWithParentOrBySignal(() => process.exit(0));
  const settings = readSettings(argv, process.env, (path) => readFileSync(path, 'utf8'));
  // What is meant for psql must not change where the engine connects to; pg would take it as defaults.
  for (const name of Object.keys(process.env)) if (name.startsWith('PG')) delete process.env[name];

  const faults = new Faults(settings.database);
  const metrics = new Metrics();
  const pool = makePool(settings.database, metrics);
  const adapter = makeAdapter(pool, settings.database.schema, faults);
  const engine = new Engine(wasm.QueryEngine, settings, adapter, faults);
  const unreachable = await engine.connect();
  if (unreachable !== null) fail(unreachable);

  const server = makeServer(engine, metrics, { hasMetrics: settings.hasMetrics, commit: wasm.commit }, panic);
  server.on('error', failWith);
  server.listen(settings.port, settings.host);
}

// By this name LiteLLM finds engines that outlived their gateway.
process.title = 'query-engine';
// The engine cannot be used after a panic, and panics can come up outside of any request.
process.on('uncaughtException', (error) => panic(error.message));
main(process.argv.slice(2)).catch(failWith);
