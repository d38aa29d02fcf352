/** Do batches and interactive transactions happen wholly or not at all, and give their connections back? */

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { EngineProcess, eventually, gql, makeDatabase, raw, withParts } from './support.js';

const CONNECTIONS = 2;
let database;
let engine;

before(async () => {
  database = await makeDatabase();
  engine = await EngineProcess.start(
    withParts(database.url, { parameters: { connection_limit: CONNECTIONS, pool_timeout: 5 } }),
  );
});
after(async () => {
  await engine.stop();
  await database.drop();
});
beforeEach(() => database.sql('TRUNCATE "User" CASCADE'));

const create = (id) => gql('createOneUser', { data: { id, email: id } });
const stored = async () => (await database.sql('SELECT id FROM "User" ORDER BY id')).map((row) => row.id);

describe('batches', () => {
  test('all queries of a batch happen, in order, each with its answer', async () => {
    const update = gql('updateManyUser', { where: { id: 'a' }, data: { name: 'x' } }, '{ count }');
    const { batchResult } = await engine.batch([
      create('a'),
      update,
      raw('executeRaw', 'DELETE FROM "User" WHERE name = $1', ['x']),
    ]);
    assert.deepEqual(
      batchResult.map((answer) => answer.data.result),
      [{ id: 'a' }, { count: 1 }, 1],
    );
    assert.deepEqual(await stored(), []);
  });

  test('a transaction of which one query fails leaves nothing', async () => {
    const { errors } = await engine.batch([create('a'), create('b'), create('a')]);
    const { error_code, batch_request_idx } = errors[0].user_facing_error;
    assert.deepEqual({ error_code, batch_request_idx }, { error_code: 'P2002', batch_request_idx: 2 });
    assert.deepEqual(await stored(), []);
  });

  test('without a transaction the others happen', async () => {
    const { batchResult } = await engine.batch([create('a'), create('a'), create('b')], { transaction: false });
    assert.deepEqual(
      batchResult.map((answer) => answer.errors?.[0].user_facing_error.error_code ?? answer.data.result.id),
      ['a', 'P2002', 'b'],
    );
    assert.deepEqual(await stored(), ['a', 'b']);
  });

  test('a batch with a query that cannot be read does nothing', async () => {
    assert.match((await engine.batch([create('a'), '{ nonsense']))?.errors[0].error, /^Query parsing failure/);
    assert.deepEqual(await stored(), []);
  });
});

describe('interactive transactions', () => {
  async function started(options) {
    const { status, body } = await engine.startTransaction(options);
    assert.equal(status, 200, JSON.stringify(body));
    return body.id;
  }
  const end = (id, how) => engine.request('POST', `/transaction/${id}/${how}`);

  test('what was written is seen by others after the commit, and not before', async () => {
    const id = await started();
    await engine.result(create('a'), id);
    assert.deepEqual(await engine.result('{ result: findManyUser { id } }', id), [{ id: 'a' }]);
    assert.deepEqual(await engine.result('{ result: findManyUser { id } }'), []);
    assert.deepEqual(await end(id, 'commit'), { status: 200, body: {}, text: '{}' });
    assert.deepEqual(await stored(), ['a']);
  });

  test('a roll back leaves nothing', async () => {
    const id = await started();
    await engine.result(create('a'), id);
    assert.equal((await end(id, 'rollback')).status, 200);
    assert.deepEqual(await stored(), []);
  });

  test('a batch within one belongs to it', async () => {
    const id = await started();
    await engine.request(
      'POST',
      '/',
      JSON.stringify({ batch: [{ query: create('a') }, { query: create('b') }], transaction: true }),
      { 'x-transaction-id': id },
    );
    assert.deepEqual(await stored(), []);
    await end(id, 'rollback');
    assert.deepEqual(await stored(), []);
  });

  test('one that is over its time is rolled back, says so, and gives its connection back', async () => {
    for (let time = 0; time < CONNECTIONS + 1; time++) {
      const id = await started({ timeoutMs: 100 });
      await engine.result(create('a'), id);
      await eventually(async () => (await engine.ask('{ result: findManyUser { id } }', id)).errors);
      const { error_code, message } = await engine.error('{ result: findManyUser { id } }', id);
      assert.equal(error_code, 'P2028');
      assert.match(message, /Transaction already closed/);
      assert.equal((await end(id, 'commit')).status, 422);
    }
    assert.deepEqual(await stored(), []);
  });

  test('one that nobody knows is not found', async () => {
    for (const id of ['nonsense', 'c'.repeat(25)]) {
      const { status, body } = await end(id, 'commit');
      assert.deepEqual([status, body.error_code], [404, 'P2028']);
      assert.match(body.message, /Transaction not found/);
    }
  });

  test('one that gets no connection in its time is told so', async () => {
    const ids = [];
    for (let number = 0; number < CONNECTIONS; number++) ids.push(await started());
    const { status, body } = await engine.startTransaction({ maxWaitMs: 100 });
    assert.deepEqual([status, body.error_code], [504, 'P2028']);
    assert.match(body.message, /Unable to start a transaction in the given time/);
    for (const id of ids) assert.equal((await end(id, 'rollback')).status, 200);
    await engine.result(create('a'));
  });

  test('a commit that PostgreSQL refuses is an error, and leaves no connection in a transaction', async () => {
    await database.sql('CREATE TABLE "Late" (user_id text REFERENCES "User" DEFERRABLE INITIALLY DEFERRED)');
    for (let time = 0; time < CONNECTIONS + 1; time++) {
      const id = await started();
      await engine.result(raw('executeRaw', `INSERT INTO "Late" VALUES ('nobody')`, []), id);
      assert.notEqual((await end(id, 'commit')).status, 200);
    }
    assert.deepEqual(
      await database.sql(
        `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'`,
      ),
      [],
    );
    await engine.result(create('a'));
    assert.deepEqual(await stored(), ['a']);
  });

  test('those whose connection dies leave nothing, and the engine has as many connections as before', async () => {
    for (let time = 0; time < CONNECTIONS + 1; time++) {
      const id = await started();
      await engine.result(create('a'), id);
      const {
        rows: [[pid]],
      } = await engine.result(raw('queryRaw', 'SELECT pg_backend_pid()', []), id);
      await database.sql('SELECT pg_terminate_backend($1, 60000)', [pid]);
      await engine.error(create('b'), id);
      assert.notEqual((await end(id, 'commit')).status, 200);
    }
    const ids = [];
    for (let number = 0; number < CONNECTIONS; number++) ids.push(await started());
    for (const id of ids) await end(id, 'rollback');
    assert.deepEqual(await stored(), []);
  });
});
