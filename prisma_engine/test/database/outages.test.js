/** What do clients see when the database fails, and does the engine recover by itself? */

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { EngineProcess, Proxy, eventually, gql, makeDatabase, raw, whileDown, withParts } from './support.js';

const FIND = '{ result: findManyUser { id } }';
const SLEEP = raw('queryRaw', 'SELECT pg_sleep(3600)::text', []);
let database;

before(async () => {
  database = await makeDatabase();
});
after(() => database.drop());
beforeEach(() => database.sql('TRUNCATE "User" CASCADE'));

/** Have an engine for as long as `use` takes. */
async function withEngine(url, use) {
  const engine = await EngineProcess.start(url);
  try {
    await use(engine);
  } finally {
    await engine.stop();
    // A session whose client has gone sleeps on.
    await database.sql(
      `SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE starts_with(query, 'SELECT pg_sleep')`,
    );
  }
}

/** The PIDs of sessions that run a statement that begins so. */
async function pidsRunning(start) {
  const rows = await database.sql(
    `SELECT pid FROM pg_stat_activity WHERE state = 'active' AND starts_with(query, $1)`,
    [start],
  );
  return rows.map((row) => row.pid);
}

async function pidRunning(start) {
  await eventually(async () => (await pidsRunning(start)).length > 0);
  return (await pidsRunning(start))[0];
}

describe('the server is stopped and started again', () => {
  test('queries, SQL, batches and transactions all say that it cannot be reached, and all work afterwards', () =>
    withEngine(database.url, async (engine) => {
      const create = (id) => gql('createOneUser', { data: { id, email: id } });
      assert.equal((await engine.result(create('before'))).id, 'before');
      await whileDown(database, async () => {
        // What a connection hears last may still be that the server shuts down; every later one is refused.
        await eventually(async () => (await engine.error(FIND)).error_code === 'P1001');
        const { hostname, port } = new URL(database.url);
        const { error_code, meta, message } = await engine.error(create('during'));
        assert.deepEqual(
          { error_code, meta },
          { error_code: 'P1001', meta: { database_host: hostname, database_port: Number(port) } },
        );
        assert.match(message, /^Can't reach database server at/);
        assert.equal((await engine.error(raw('queryRaw', 'SELECT 1', []))).error_code, 'P1001');
        assert.equal((await engine.batch([create('during')])).errors[0].user_facing_error.error_code, 'P1001');
        const { status, body } = await engine.startTransaction();
        assert.deepEqual([status, body.error_code], [500, 'P1001']);
        assert.equal((await engine.request('GET', '/status')).status, 200);
      });
      assert.equal((await engine.result(create('after'))).id, 'after');
      assert.deepEqual(await database.sql('SELECT id FROM "User" ORDER BY id'), [{ id: 'after' }, { id: 'before' }]);
      assert.equal(engine.output, '');
    }));

  test('the statement that runs at that moment gets the words of the server', () =>
    withEngine(database.url, async (engine) => {
      const asked = engine.error(SLEEP);
      await pidRunning('SELECT pg_sleep');
      await whileDown(database, async () => {
        const { error_code, meta } = await asked;
        assert.deepEqual([error_code, meta.code], ['P2010', '57P01']);
      });
      await engine.result(FIND);
    }));

  test('an engine cannot start meanwhile, says why in one line without the password, and ends', () =>
    whileDown(database, async () => {
      const engine = new EngineProcess(withParts(database.url, { user: 'somebody', password: 'very-secret' }));
      const [status] = await engine.exit;
      assert.equal(status, 1);
      assert.equal(JSON.parse(engine.output).error_code, 'P1001');
      assert.ok(!engine.output.includes('very-secret'));
    }));
});

describe('single statements and connections fail', () => {
  test('a statement that is cancelled is an error of its own, and its connection lives on', () =>
    withEngine(withParts(database.url, { parameters: { connection_limit: 1 } }), async (engine) => {
      const [[before]] = (await engine.queryRaw('SELECT pg_backend_pid()')).rows;
      const asked = engine.error(SLEEP);
      await database.sql('SELECT pg_cancel_backend($1)', [await pidRunning('SELECT pg_sleep')]);
      assert.equal((await asked).meta.code, '57014');
      assert.deepEqual((await engine.queryRaw('SELECT pg_backend_pid()')).rows, [[before]]);
    }));

  /** What an engine answers to a query whose session is terminated while it waits for a lock. */
  async function answerOfTerminated(engine, query) {
    const { body } = await engine.startTransaction();
    await engine.result(raw('executeRaw', 'LOCK TABLE "User" IN ACCESS EXCLUSIVE MODE', []), body.id);
    const asked = engine.ask(query);
    let waiting = [];
    await eventually(async () => {
      waiting = await database.sql(
        `SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
      );
      return waiting.length > 0;
    });
    await database.sql('SELECT pg_terminate_backend($1)', [waiting[0].pid]);
    const [error] = (await asked).errors;
    await engine.request('POST', `/transaction/${body.id}/rollback`);
    await engine.result(query);
    return error;
  }

  test("a read whose session is terminated tells PostgreSQL's code in its words only, as the binary does", () =>
    withEngine(database.url, async (engine) => {
      const { error, user_facing_error: seen } = await answerOfTerminated(engine, FIND);
      assert.match(error, /PostgresError \{ code: "57P01"/);
      assert.equal(seen.error_code, undefined);
    }));

  test('a write, which is a transaction to the engine, says that its roll back found a closed connection', () =>
    withEngine(database.url, async (engine) => {
      const write = gql('updateManyUser', { where: {}, data: { name: 'x' } }, '{ count }');
      const { user_facing_error: seen } = await answerOfTerminated(engine, write);
      assert.deepEqual([seen.error_code, seen.meta], ['P1017', null]);
    }));

  test('connections that die while nobody uses them are replaced without an error', () =>
    withEngine(database.url, async (engine) => {
      const [[pid]] = (await engine.queryRaw('SELECT pg_backend_pid()')).rows;
      await database.sql('SELECT pg_terminate_backend($1, 60000)', [pid]);
      await eventually(async () => {
        const { gauges } = (await engine.request('GET', '/metrics?format=json')).body;
        return gauges.find((gauge) => gauge.key === 'prisma_pool_connections_open').value === 0;
      });
      await engine.result(FIND);
    }));

  test('a connection that is cut without a word while a statement runs is P1017, without meta', async () => {
    const proxy = await Proxy.to(database.url);
    try {
      await withEngine(withParts(database.url, { port: proxy.port }), async (engine) => {
        const asked = engine.error(SLEEP);
        await pidRunning('SELECT pg_sleep');
        proxy.cut();
        const { error_code, meta, message } = await asked;
        assert.deepEqual(
          { error_code, meta, message },
          { error_code: 'P1017', meta: null, message: 'Server has closed the connection.' },
        );
        await engine.result(FIND);
      });
    } finally {
      proxy.close();
    }
  });

  test('a statement that takes longer than socket_timeout is P1008', () =>
    withEngine(withParts(database.url, { parameters: { socket_timeout: 1 } }), async (engine) => {
      const { error_code, meta } = await engine.error(SLEEP);
      assert.deepEqual({ error_code, meta }, { error_code: 'P1008', meta: { time: '1s' } });
      await engine.result(FIND);
    }));
});

describe('there are no more connections', () => {
  test('of its own pool: P2024 after pool_timeout', () =>
    withEngine(withParts(database.url, { parameters: { connection_limit: 1, pool_timeout: 1 } }), async (engine) => {
      const asked = engine.error(SLEEP);
      const pid = await pidRunning('SELECT pg_sleep');
      const { error_code, meta } = await engine.error(FIND);
      assert.deepEqual({ error_code, meta }, { error_code: 'P2024', meta: { connection_limit: 1, timeout: 1 } });
      await database.sql('SELECT pg_cancel_backend($1)', [pid]);
      await asked;
      await engine.result(FIND);
    }));

  test("of the server's: P2037 with the server's words, until there are some again", async () => {
    await database.sql(`CREATE ROLE engine_one LOGIN PASSWORD 'pw' CONNECTION LIMIT 1`);
    await database.sql('GRANT SELECT ON "User" TO engine_one');
    try {
      await withEngine(withParts(database.url, { user: 'engine_one', password: 'pw' }), async (engine) => {
        const asked = engine.error(SLEEP);
        const pid = await pidRunning('SELECT pg_sleep');
        const { error_code, message } = await engine.error(FIND);
        assert.equal(error_code, 'P2037');
        assert.match(message, /too many connections for role/);
        await database.sql('SELECT pg_cancel_backend($1)', [pid]);
        await asked;
        await engine.result(FIND);
      });
    } finally {
      await database.sql('DROP OWNED BY engine_one');
      await database.sql('DROP ROLE engine_one');
    }
  });
});

describe('the database cannot be used at start', () => {
  for (const [what, parts, pattern] of [
    ['a wrong password', { user: 'engine_wrong', password: 'very-secret' }, /P1000|28P01/],
    ['a database that does not exist', { path: '/nothing-there' }, /P1003|3D000/],
    ['a port on which nobody listens', { port: 1 }, /P1001/],
  ]) {
    test(`${what} ends it with status 1 and one line that says so without the password`, async () => {
      await database.sql(`CREATE ROLE engine_wrong LOGIN PASSWORD 'right'`);
      try {
        const url = new URL(withParts(database.url, parts));
        if (parts.path) url.pathname = parts.path;
        const engine = new EngineProcess(url.href);
        const [status] = await engine.exit;
        assert.equal(status, 1);
        assert.match(engine.output, pattern);
        assert.equal(engine.output.trim().split('\n').length, 1);
        assert.ok(!engine.output.includes(engine.password));
      } finally {
        await database.sql('DROP ROLE engine_wrong');
      }
    });
  }
});
