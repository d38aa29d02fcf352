/**
 * How are connections to PostgreSQL made, shared and given back?
 *
 * Comes in: `DatabaseSettings`. Goes out: a `pg.Pool` that @prisma/adapter-pg can use, which behaves as the pool of the
 * binary engine does where that of pg does not.
 */

import pg from 'pg';

import { parserOf, readAs } from './column_values.js';
import { isReadTimeout } from './faults.js';
import { PreparedStatements } from './prepared_statements.js';

/** @typedef {import('./database_url.js').DatabaseSettings} DatabaseSettings */
/** @typedef {import('./metrics.js').Metrics} Metrics */

const IDLE_IN_NO_TRANSACTION = 'I';

/** @param {DatabaseSettings} settings @param {Metrics} metrics */
export function makePool(settings, metrics) {
  return new EnginePool(settings, metrics);
}

class EnginePool extends pg.Pool {
  #metrics;

  constructor(settings, metrics) {
    const statements = new PreparedStatements(settings.statementCacheSize);
    super({
      max: settings.connectionLimit,
      connectionTimeoutMillis: settings.poolTimeoutS * 1000,
      idleTimeoutMillis: settings.maxIdleS * 1000,
      maxLifetimeSeconds: settings.maxLifetimeS,
      onConnect: settings.isBehindPgbouncer
        ? (client) => client.query(asStatements(sessionSettings(settings)))
        : undefined,
      Client: class extends EngineClient {
        // Not the pool's options, whose limit of time is for the wait for a connection, not for making one.
        constructor() {
          super(connectionOptions(settings), statements, metrics);
        }
      },
    });
    this.#metrics = metrics;
    metrics.watch(this);
    // A connection that dies while nobody uses it is taken out of the pool; the next query makes another.
    this.on('error', () => {});
    // One that dies while it is used fails the query that uses it, or the next one.
    this.on('connect', (client) => client.on('error', () => {}));
  }

  /** A connection for several statements; `release()` gives it back. */
  async connect() {
    const client = await this.#metrics.whileWaiting(() => super.connect());
    const { release } = client;
    // What still is in a transaction must not be handed to anybody else.
    client.release = (error) => release(error ?? client.getTransactionStatus() !== IDLE_IN_NO_TRANSACTION);
    return client;
  }

  /** One statement. Unlike pg's own, this does not close a connection on which a statement failed. */
  async query(config, values) {
    const client = await this.connect();
    try {
      return await client.query(config, values);
    } finally {
      client.release();
    }
  }
}

class EngineClient extends pg.Client {
  #statements;
  #metrics;

  constructor(options, statements, metrics) {
    super(options);
    this.#statements = statements;
    this.#metrics = metrics;
  }

  /**
   * What the adapter asks for, read as the binary engine would read it.
   *
   * @param {string | pg.QueryConfig} config
   * @param {unknown[]} [values]
   */
  async query(config, values) {
    if (typeof config === 'string') return super.query(config, values);
    const adapters = config.types.getTypeParser;
    const asked = {
      ...config,
      name: this.#statements.nameOf(config.text),
      types: { getTypeParser: (oid, format) => parserOf(oid) ?? adapters(readAs(oid), format) },
    };
    const result = await this.#metrics
      .whileDatabaseWorks(() => super.query(asked, values))
      .catch((error) => {
        // The statement goes on, and whatever comes next on this connection would wait for it. The stream says only later
        // that it is gone; a client that is told to end is not used again from now on.
        if (isReadTimeout(error)) {
          this.connection.stream.destroy();
          this.end().catch(() => {});
        }
        throw error;
      });
    for (const field of result.fields) field.dataTypeID = readAs(field.dataTypeID);
    return result;
  }
}

function connectionOptions(settings) {
  const options = [settings.options, ...(settings.isBehindPgbouncer ? [] : sessionSettings(settings).map(asOption))];
  return {
    host: settings.host,
    port: settings.port,
    user: settings.user,
    password: settings.password,
    database: settings.database,
    ssl: settings.tls,
    application_name: settings.applicationName,
    options: options.filter(Boolean).join(' ') || undefined,
    connectionTimeoutMillis: settings.connectTimeoutS * 1000,
    query_timeout: settings.socketTimeoutS * 1000,
    keepAlive: true,
  };
}

/** The engine gives instants in UTC, but does not say so; in another time zone of the session they would be others. */
function sessionSettings({ schema }) {
  return [
    ['search_path', `"${schema}"`],
    ['TimeZone', 'UTC'],
    ['DateStyle', 'ISO'],
  ];
}

function asOption([name, value]) {
  return `-c ${name}=${value.replace(/[\\\s]/g, '\\$&')}`;
}

/** For pgbouncer, which takes no options at start. */
function asStatements(settings) {
  return settings.map(([name, value]) => `SET ${name} = ${value}`).join('; ');
}
