/**
 * How does Prisma's WebAssembly query engine get into this process?
 *
 * Goes out: its class `QueryEngine` and the commit of Prisma that it was built from.
 */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import * as bindings from '@prisma/query-engine-wasm/postgresql/query_engine_bg.js';

const WASM = '@prisma/query-engine-wasm/postgresql/query_engine_bg.wasm';

/**
 * Load it; once in a process.
 *
 * @param {(message: string) => void} onPanic called before the engine breaks; it is of no use afterwards
 * @returns {{QueryEngine: typeof bindings.QueryEngine, commit: string}}
 */
export function loadWasm(onPanic) {
  // The engine looks for this name.
  globalThis.PRISMA_WASM_PANIC_REGISTRY = { set_message: onPanic };
  const code = readFileSync(createRequire(import.meta.url).resolve(WASM));
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(code), { './query_engine_bg.js': bindings });
  bindings.__wbg_set_wasm(exports);
  return { QueryEngine: bindings.QueryEngine, commit: bindings.getBuildTimeInfo().commit };
}
