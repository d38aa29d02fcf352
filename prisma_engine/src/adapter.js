/**
 * How does the WebAssembly engine reach PostgreSQL?
 *
 * Comes in: a pool. Goes out: what the engine calls: @prisma/adapter-pg, of which no error escapes: a JavaScript error
 * would be a panic to the engine, so each becomes a number (faults.js).
 */

import { PrismaPg } from '@prisma/adapter-pg';
import { err } from '@prisma/driver-adapter-utils';

/**
 * @param {import('pg').Pool} pool
 * @param {string} schema of the database, in which models are
 * @param {import('./faults.js').Faults} faults
 */
export function makeAdapter(pool, schema, faults) {
  const adapter = new PrismaPg(pool, { schema });
  return {
    ...bound(adapter, ['queryRaw', 'executeRaw'], faults),
    getConnectionInfo: () => adapter.getConnectionInfo(),
    startTransaction: guarded(faults, async () => {
      const started = await adapter.startTransaction();
      return started.map((transaction) => ({
        ...bound(transaction, ['queryRaw', 'executeRaw', 'commit', 'rollback'], faults),
        options: transaction.options,
      }));
    }),
  };
}

function bound(target, methods, faults) {
  const calls = methods.map((name) => [name, guarded(faults, target[name].bind(target))]);
  return { adapterName: target.adapterName, provider: target.provider, ...Object.fromEntries(calls) };
}

function guarded(faults, call) {
  return async (...args) => {
    try {
      return await call(...args);
    } catch (error) {
      return err(guardedError(error, faults));
    }
  };
}

function guardedError(error, faults) {
  // An error of PostgreSQL's, such as too many connections, that came before the adapter looked at errors.
  if (typeof error.code === 'string' && typeof error.severity === 'string') {
    const { code, severity, message, detail, column, hint } = error;
    return { kind: 'Postgres', code, severity, message, detail, column, hint };
  }
  return { kind: 'GenericJs', id: faults.keep(error) };
}
