/**
 * Where is the database, and how is it to be used?
 *
 * Comes in: a connection string as Prisma understands it. Goes out: `DatabaseSettings`. Parameters and their defaults
 * are those of the binary engine; like there, parameters that Prisma does not know are left out.
 */

import { availableParallelism } from 'node:os';

/**
 * @typedef {object} DatabaseSettings
 * @property {string} host
 * @property {number} port
 * @property {string} user
 * @property {string} password
 * @property {string} database
 * @property {string} schema
 * @property {string | undefined} options for the server, as in PGOPTIONS
 * @property {string | undefined} applicationName
 * @property {false | import('node:tls').ConnectionOptions} tls
 * @property {boolean} isBehindPgbouncer
 * @property {number} statementCacheSize how many statements a connection keeps prepared
 * @property {number} connectionLimit
 * @property {number} poolTimeoutS 0 waits for ever, as for the next ones
 * @property {number} connectTimeoutS
 * @property {number} socketTimeoutS
 * @property {number} maxIdleS
 * @property {number} maxLifetimeS
 */

const PROTOCOLS = new Set(['postgres:', 'postgresql:']);

/** A connection string that cannot be used; the message does not hold it. */
export class DatabaseUrlError extends Error {}

/**
 * @param {string} text `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?schema=public&connection_limit=10`
 * @param {(path: string) => string} readFile reads what `sslcert` names
 * @returns {DatabaseSettings}
 * @throws {DatabaseUrlError}
 */
export function readDatabaseUrl(text, readFile) {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !PROTOCOLS.has(url.protocol)) {
    throw new DatabaseUrlError('the database URL must begin with postgresql:// and be a valid URL');
  }
  const given = url.searchParams;
  const isBehindPgbouncer = given.get('pgbouncer') === 'true';
  return {
    host: given.get('host') || url.hostname.replace(/^\[|\]$/g, '') || 'localhost',
    port: Number(url.port || 5432),
    user: decoded(url.username, 'user'),
    password: decoded(url.password, 'password'),
    database: decoded(url.pathname.slice(1), 'database') || 'postgres',
    schema: given.get('schema') || 'public',
    options: given.get('options') ?? undefined,
    applicationName: given.get('application_name') ?? undefined,
    tls: tlsOf(given, readFile),
    isBehindPgbouncer,
    statementCacheSize: isBehindPgbouncer ? 0 : wholeNumber(given, 'statement_cache_size', 100),
    connectionLimit: wholeNumber(given, 'connection_limit', availableParallelism() * 2 + 1),
    poolTimeoutS: wholeNumber(given, 'pool_timeout', 10),
    connectTimeoutS: wholeNumber(given, 'connect_timeout', 5),
    socketTimeoutS: wholeNumber(given, 'socket_timeout', 0),
    maxIdleS: wholeNumber(given, 'max_idle_connection_lifetime', 300),
    maxLifetimeS: wholeNumber(given, 'max_connection_lifetime', 0),
  };
}

function wholeNumber(given, name, byDefault) {
  const text = given.get(name);
  if (text === null) return byDefault;
  if (!/^[0-9]+$/.test(text)) throw new DatabaseUrlError(`${name}=${text} in the database URL must be a whole number`);
  return Number(text);
}

function decoded(text, what) {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new DatabaseUrlError(`the ${what} in the database URL has a % that begins no character`);
  }
}

/** Unlike the binary, which tries TLS first, this engine uses TLS only when it must. */
function tlsOf(given, readFile) {
  if (given.get('sslmode') !== 'require') return false;
  const certificate = given.get('sslcert');
  return {
    rejectUnauthorized: (given.get('sslaccept') ?? 'accept_invalid_certs') !== 'accept_invalid_certs',
    ...(certificate === null ? {} : { ca: readFile(certificate) }),
  };
}
