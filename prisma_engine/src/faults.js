/**
 * What does a client see when not PostgreSQL but the way to it fails?
 *
 * Comes in: an error of pg that has no SQLSTATE. Goes out: the error that the binary engine would give, by Prisma's
 * code.
 *
 * The WebAssembly engine knows such errors only by a number, which it gets in their place, and which comes back in its
 * answer with code P2036, "Error in external connector (id 3)". Clients take that for bad data, and drop rows; so what
 * it stands for is kept here until the answer comes.
 */

/** @typedef {import('./database_url.js').DatabaseSettings} DatabaseSettings */

/**
 * @typedef {object} UserFacingError as Prisma's engines write it
 * @property {boolean} is_panic
 * @property {string} message
 * @property {object | null} [meta] absent, as is the code, from errors that Prisma has no code for
 * @property {string} [error_code]
 */

const EXTERNAL_ERROR = 'P2036';
const MARK = `"error_code":"${EXTERNAL_ERROR}"`;
/** An answer may swallow errors, as those of a roll back are, so that nobody ever asks for them. */
const KEPT_MAX = 1000;

/** As they stand in pg 8 and pg-pool 3, and in Node's own errors. */
const NO_FREE_CONNECTION = /^timeout exceeded when trying to connect|^Connection terminated due to connection timeout/;
const READ_TIMEOUT = 'Query read timeout';
const CLOSED = /^Connection terminated|^Client has encountered a connection error|not queryable/;
const CLOSED_CODES = new Set(['ECONNRESET', 'EPIPE']);
const TLS = /SSL|TLS|certificate/i;
const NOT_REACHED = /^timeout expired/;
const NOT_REACHED_CODES = new Set([
  'EACCES',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT', // a socket in the file system
  'ENOTFOUND',
  'ETIMEDOUT',
]);

export class Faults {
  #settings;
  #kept = new Map();
  #lastId = 0;

  /** @param {DatabaseSettings} settings */
  constructor(settings) {
    this.#settings = settings;
  }

  /**
   * @param {Error} error of pg
   * @returns {number} what the engine is to know it by
   */
  keep(error) {
    this.#lastId += 1;
    this.#kept.set(this.#lastId, error);
    if (this.#kept.size > KEPT_MAX) this.#kept.delete(this.#kept.keys().next().value);
    return this.#lastId;
  }

  /**
   * @param {string} answer of the engine: `{"errors":[…]}`, `{"batchResult":[…]}` or an error alone
   * @returns {string} the same with errors of Prisma's codes in the place of numbers
   */
  explain(answer) {
    if (!answer.includes(MARK)) return answer;
    const parsed = JSON.parse(answer);
    if (parsed.error_code === EXTERNAL_ERROR) return JSON.stringify(this.#take(parsed.meta.id));
    for (const { errors = [] } of [parsed, ...(parsed.batchResult ?? [])]) {
      for (const error of errors) {
        if (error.user_facing_error?.error_code !== EXTERNAL_ERROR) continue;
        error.user_facing_error = this.#take(error.user_facing_error.meta.id);
        error.error = error.user_facing_error.message;
      }
    }
    return JSON.stringify(parsed);
  }

  #take(id) {
    const error = this.#kept.get(id);
    this.#kept.delete(id);
    return userFacing(error, this.#settings);
  }
}

/**
 * @param {Error | undefined} error of pg, without an SQLSTATE
 * @param {DatabaseSettings} settings
 * @returns {UserFacingError}
 */
export function userFacing(error, settings) {
  const said = error?.message ?? '';
  if (NO_FREE_CONNECTION.test(said)) {
    const { connectionLimit: limit, poolTimeoutS: timeout } = settings;
    return known(
      'P2024',
      'Timed out fetching a new connection from the connection pool. More info: http://pris.ly/d/connection-pool ' +
        `(Current connection pool timeout: ${timeout}, connection limit: ${limit})`,
      { connection_limit: limit, timeout },
    );
  }
  if (isReadTimeout(error)) {
    const time = `${settings.socketTimeoutS}s`;
    return known('P1008', `Operations timed out after \`${time}\`.`, { time });
  }
  // The binary gives this one without meta; clients are used to it.
  if (CLOSED.test(said) || CLOSED_CODES.has(error?.code))
    return known('P1017', 'Server has closed the connection.', null);
  if (TLS.test(said)) return known('P1011', `Error opening a TLS connection: ${said}`, { message: said });
  if (NOT_REACHED.test(said) || NOT_REACHED_CODES.has(error?.code)) {
    const { host, port } = settings;
    const at = `\`${host}\`:\`${port}\``;
    return known(
      'P1001',
      `Can't reach database server at ${at}\n\nPlease make sure your database server is running at ${at}.`,
      { database_host: host, database_port: port },
    );
  }
  return { is_panic: false, message: `Error in the driver: ${said || 'it is not known any more'}`, backtrace: null };
}

/** Whether a statement took longer than `socket_timeout`. @param {Error | undefined} error */
export function isReadTimeout(error) {
  return error?.message === READ_TIMEOUT;
}

function known(code, message, meta) {
  return { is_panic: false, message, meta, error_code: code };
}
