/** Does the engine behave as a program: what it is told, how it ends, what it tells of itself? */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { EngineProcess, eventually, gql, makeDatabase, raw, withParts } from './support.js';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const COMMIT = '393aa359c9ad4a4bb28630fb5613f9c281cde053';
/** Starts the engine, and says its PID; the engine's parent is then a process that can be killed. */
const PARENT = ['sh', '-c', '"$@" & echo $!; wait', 'sh'];

let database;
before(async () => {
  database = await makeDatabase();
});
after(() => database.drop());

function isRunning(pid) {
  try {
    // A zombie, which nobody has waited for, has ended.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

test('its version is the commit of the binary that it stands for', async () => {
  assert.equal((await promisify(execFile)(process.execPath, [MAIN, '--version'])).stdout, `query-engine ${COMMIT}\n`);
});

for (const signal of ['SIGTERM', 'SIGINT']) {
  test(`${signal} ends it at once, with status 0, though a statement runs`, async () => {
    const engine = await EngineProcess.start(database.url);
    const asked = engine.ask(raw('queryRaw', 'SELECT pg_sleep(3600)::text', [])).catch(() => 'ended');
    await eventually(
      async () =>
        (await database.sql(`SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'`))
          .length > 0,
    );
    await engine.stop(signal);
    assert.deepEqual(await engine.exit, [0, null]);
    assert.equal(await asked, 'ended');
    await database.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'`);
  });
}

test('it ends when its parent has been killed', async () => {
  const engine = await EngineProcess.start(database.url, { parent: PARENT });
  const pid = Number(engine.output.trim());
  assert.ok(isRunning(pid));
  await engine.stop('SIGKILL');
  await eventually(() => !isRunning(pid));
});

test('its name is the one by which LiteLLM finds engines', async () => {
  const engine = await EngineProcess.start(database.url);
  assert.match(readFileSync(`/proc/${engine.pid}/comm`, 'utf8'), /^query-engine/);
  await engine.stop();
});

test('it says nothing while all is well, and nothing about errors of queries', async () => {
  const engine = await EngineProcess.start(database.url);
  await engine.error(raw('queryRaw', 'SELECT 1 / 0', []));
  await engine.stop();
  assert.equal(engine.output, '');
});

test('what cannot be read is refused without doing anything else', async () => {
  const engine = await EngineProcess.start(database.url);
  const { status, body } = await engine.request('POST', '/', '{"query');
  assert.equal(status, 422);
  assert.match(body.message, /^Error parsing GraphQL query/);
  assert.equal((await engine.request('GET', '/nothing')).status, 404);
  assert.equal((await engine.request('POST', '/transaction/x/y/z')).status, 400);
  const { errors } = await engine.ask('query { result: findManyNobody { id } }');
  assert.equal(errors[0].error, "Query parsing failure: Operation 'findManyNobody' does not match any query.");
  assert.equal((await engine.error('{ result: findManyUser { id } }', 'nonsense')).error_code, 'P2028');
  await engine.stop();
});

test('it says that it is up, what it is, and what it counted', async () => {
  const engine = await EngineProcess.start(database.url);
  assert.deepEqual((await engine.request('GET', '/status')).body, { status: 'ok' });
  assert.equal((await engine.request('GET', '/server_info')).body.commit, COMMIT);
  await engine.result('{ result: findManyUser { id } }');
  const { counters, gauges } = (await engine.request('GET', '/metrics?format=json', undefined)).body;
  assert.equal(counters.find((counter) => counter.key === 'prisma_client_queries_total').value, 1);
  assert.equal(gauges.find((gauge) => gauge.key === 'prisma_pool_connections_open').value, 1);
  assert.match((await engine.request('GET', '/metrics?format=prometheus')).text, /^prisma_client_queries_total 1$/m);
  await engine.stop();
});

test('variables for psql in its environment do not change where it connects to', async () => {
  const engine = await EngineProcess.start(database.url, {
    environ: { PGOPTIONS: '-c search_path=nowhere', PGSSLMODE: 'require', PGAPPNAME: 'psql' },
  });
  await engine.result('{ result: findManyUser { id } }');
  await engine.stop();
});

test('schema, options, application name and limit of connections are those of the URL', async () => {
  await database.sql('CREATE SCHEMA "other one"');
  await database.sql('CREATE TABLE "other one"."Post" (LIKE "Post")');
  const parameters = {
    schema: 'other one',
    options: '-c statement_timeout=12345',
    application_name: 'app',
    connection_limit: '2',
  };
  const engine = await EngineProcess.start(withParts(database.url, { parameters }));
  const sql = `SELECT current_schema()::text AS s, current_setting('statement_timeout') AS t, current_setting('application_name') AS a`;
  assert.deepEqual((await engine.queryRaw(sql)).rows, [['other one', '12345ms', 'app']]);
  assert.deepEqual(await engine.result('{ result: findManyPost { id } }'), []);
  await Promise.all(Array.from({ length: 20 }, () => engine.queryRaw('SELECT pg_sleep(0.01)::text')));
  assert.deepEqual(await database.sql(`SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'app'`), [
    { count: 2 },
  ]);
  await engine.stop();
});

test('a statement that comes again is prepared, unless the URL says otherwise', async () => {
  const prepared = async (parameters) => {
    const engine = await EngineProcess.start(
      withParts(database.url, { parameters: { connection_limit: '1', ...parameters } }),
    );
    for (let time = 0; time < 3; time++) await engine.result(gql('findUniqueUser', { where: { id: 'x' } }));
    const { rows } = await engine.queryRaw(
      `SELECT count(*)::int FROM pg_prepared_statements WHERE statement LIKE '%"User"%'`,
    );
    await engine.stop();
    return rows[0][0];
  };
  assert.equal(await prepared({}), 1);
  assert.equal(await prepared({ statement_cache_size: '0' }), 0);
  assert.equal(await prepared({ pgbouncer: 'true' }), 0);
});
