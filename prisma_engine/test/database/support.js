/**
 * What the tests with a database need: databases of their own, engines of their own, and ways to break what is between.
 *
 *     PERFGATE_TEST_POSTGRES_URL   a server on which databases and roles may be made
 *     PERFGATE_TEST_POSTGRES_PID   a process that takes the server down at SIGUSR1 and brings it up again at SIGUSR2
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { fileURLToPath } from 'node:url';

import pg from 'pg';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const SCHEMA = fileURLToPath(new URL('schema.prisma', import.meta.url));
const TABLES = readFileSync(new URL('tables.sql', import.meta.url), 'utf8');
/** Only a test that fails waits for so long. */
const PATIENCE_MS = 60_000;
const POLL_MS = 20;

/** A setting that the tests cannot do without. */
function needed(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; test/database/support.js says what it is for`);
  return value;
}

/**
 * @typedef {object} Database
 * @property {string} url
 * @property {(text: string, values?: unknown[]) => Promise<any[]>} sql runs SQL without the engine
 * @property {() => Promise<void>} drop
 */

/** A new one with the tables of tables.sql. @returns {Promise<Database>} */
export async function makeDatabase() {
  const admin = new pg.Client(needed('PERFGATE_TEST_POSTGRES_URL'));
  await admin.connect();
  const name = `engine_test_${process.pid}_${process.hrtime.bigint()}`;
  await admin.query(`CREATE DATABASE ${name}`);
  await admin.end();
  const url = new URL(needed('PERFGATE_TEST_POSTGRES_URL'));
  url.pathname = `/${name}`;
  // Its own connection each time, so that outages do it no harm.
  const sql = async (text, values) => {
    const client = new pg.Client(url.href);
    await client.connect();
    try {
      return (await client.query(text, values)).rows;
    } finally {
      await client.end();
    }
  };
  await sql(TABLES);
  const drop = async () => {
    const last = new pg.Client(needed('PERFGATE_TEST_POSTGRES_URL'));
    await last.connect();
    await last.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await last.end();
  };
  return { url: url.href, sql, drop };
}

/** The same database with other parameters, or at another place. */
export function withParts(url, { parameters = {}, port, user, password }) {
  const parts = new URL(url);
  for (const [name, value] of Object.entries(parameters)) parts.searchParams.set(name, value);
  if (port) parts.port = port;
  if (user) Object.assign(parts, { username: user, password });
  return parts.href;
}

/** An engine in a process of its own. */
export class EngineProcess {
  #child;
  #exit;
  #output = '';
  #url;

  constructor(databaseUrl, { argv = [], environ = {}, parent = null } = {}) {
    const args = [MAIN, '--port', '0', '--enable-metrics', '--enable-raw-queries', ...argv];
    const env = { PATH: process.env.PATH, PRISMA_DML_PATH: SCHEMA, DATABASE_URL: databaseUrl, ...environ };
    const [program, ...rest] = [...(parent ?? []), process.execPath, ...args];
    this.#child = spawn(program, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#exit = once(this.#child, 'exit');
    // A test that fails must not wait for an engine that it has not stopped; the engine ends with us.
    for (const handle of [this.#child, this.#child.stdout, this.#child.stderr]) handle.unref();
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream.on('data', (data) => (this.#output += data));
    this.password = new URL(databaseUrl).password;
  }

  /** One that answers. @returns {Promise<EngineProcess>} */
  static async start(databaseUrl, options) {
    const port = await freePort();
    const engine = new EngineProcess(databaseUrl, { ...options, argv: ['--port', String(port)] });
    engine.#url = `http://127.0.0.1:${port}`;
    await eventually(async () => {
      assert.equal(engine.#child.exitCode, null, `the engine ended: ${engine.output}`);
      return (await fetch(`${engine.#url}/status`).catch(() => null))?.ok;
    });
    return engine;
  }

  /** Its exit status and signal, when it has ended. */
  get exit() {
    this.#child.ref();
    return this.#exit;
  }

  get pid() {
    return this.#child.pid;
  }

  get output() {
    return this.#output;
  }

  /** @returns {Promise<{status: number, body: any, text: string}>} */
  async request(method, path, body, headers = {}) {
    const response = await fetch(this.#url + path, { method, body, headers });
    const text = await response.text();
    return {
      status: response.status,
      text,
      body: response.headers.get('content-type') === 'application/json' ? JSON.parse(text) : null,
    };
  }

  /** A query, as prisma-client-py asks it. @returns {Promise<any>} its whole answer */
  async ask(query, transactionId) {
    const headers = transactionId ? { 'x-transaction-id': transactionId } : {};
    const answer = await this.request(
      'POST',
      '/',
      JSON.stringify({ variables: {}, operation_name: 'query', query }),
      headers,
    );
    assert.equal(answer.status, 200, answer.text);
    return answer.body;
  }

  /** A query that succeeds. @returns {Promise<any>} its result */
  async result(query, transactionId) {
    const { data, errors } = await this.ask(query, transactionId);
    assert.equal(errors, undefined, JSON.stringify(errors));
    return data.result;
  }

  /** A query that fails. @returns {Promise<any>} the error as clients see it */
  async error(query, transactionId) {
    const answer = await this.ask(query, transactionId);
    assert.ok(answer.errors, JSON.stringify(answer));
    return answer.errors[0].user_facing_error;
  }

  /** SQL that answers with rows. @returns {Promise<{columns: string[], types: string[], rows: any[][]}>} */
  async queryRaw(sql, ...parameters) {
    return this.result(raw('queryRaw', sql, parameters));
  }

  async batch(queries, { transaction = true } = {}) {
    const batch = queries.map((query) => ({ query, variables: {} }));
    return (await this.request('POST', '/', JSON.stringify({ batch, transaction }))).body;
  }

  async startTransaction({ maxWaitMs = 2000, timeoutMs = 60_000 } = {}) {
    return this.request('POST', '/transaction/start', JSON.stringify({ max_wait: maxWaitMs, timeout: timeoutMs }));
  }

  async stop(signal = 'SIGTERM') {
    this.#child.kill(signal);
    await this.exit;
    if (this.password) assert.ok(!this.#output.includes(this.password), 'the password was written');
  }
}

/** GraphQL as prisma-client-py writes it. */
export function gql(operation, args, selection = '{ id }') {
  const rendered = Object.entries(args).map(([name, value]) => `${name}: ${literal(value)}`);
  return `mutation { result: ${operation}(${rendered.join(' ')}) ${selection} }`;
}

/** SQL as prisma-client-py asks for it. */
export function raw(action, sql, parameters) {
  return gql(action, { query: sql, parameters: JSON.stringify(parameters) }, '');
}

/** A value of a Json field, as prisma-client-py writes it. */
export function json(value) {
  return JSON.stringify(value);
}

function literal(value) {
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value === 'bigint') return String(value);
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([name, inner]) => `${name}: ${literal(inner)}`)
    .join(' ')}}`;
}

/** Wait until something is true. */
export async function eventually(isTrue) {
  const deadlineMs = performance.now() + PATIENCE_MS;
  while (!(await isTrue())) {
    assert.ok(performance.now() < deadlineMs, `not within ${PATIENCE_MS} ms: ${isTrue}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Whether the database answers. */
export async function isUp(database) {
  return database.sql('SELECT 1').then(
    () => true,
    () => false,
  );
}

/** Have the server down while `work` is done; then it is up again. */
export async function whileDown(database, work) {
  const pid = Number(needed('PERFGATE_TEST_POSTGRES_PID'));
  process.kill(pid, 'SIGUSR1');
  try {
    await eventually(async () => !(await isUp(database)));
    await work();
  } finally {
    process.kill(pid, 'SIGUSR2');
    await eventually(() => isUp(database));
  }
}

/** What stands between engine and server, and cuts connections without a word. */
export class Proxy {
  #sockets = new Set();

  static async to(databaseUrl) {
    const proxy = new Proxy();
    const { hostname, port } = new URL(databaseUrl);
    proxy.server = createServer((near) => {
      const far = connect(Number(port), hostname);
      for (const [one, other] of [
        [near, far],
        [far, near],
      ]) {
        proxy.#sockets.add(one);
        one.on('error', () => {});
        one.on('close', () => {
          proxy.#sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    proxy.port = proxy.server.address().port;
    return proxy;
  }

  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }

  close() {
    this.server.close();
    this.cut();
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
