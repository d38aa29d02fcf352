/**
 * How is a request of prisma-client-py answered?
 *
 * Comes in: the body of a request. Goes out: an `Answer`. Here GraphQL becomes the JSON protocol, the WebAssembly
 * engine does the work, and its answer becomes GraphQL again. Knows nothing of HTTP but its status codes.
 *
 * @typedef {object} Answer
 * @property {number} status of HTTP
 * @property {string} text JSON
 */

import { GraphqlError, parse } from './graphql.js';
import { UnknownOperation, translate } from './json_protocol.js';
import { toGraphql } from './response.js';

/** The engine can carry a trace of OpenTelemetry; we have none. */
const NO_TRACE = '{}';
const OK = 200;
const TRANSACTION_ERROR = 'P2028';
/** Which status the binary gives to which error of a transaction: by its words, as the code is always P2028. */
const TRANSACTION_STATUSES = [
  [/Unable to start a transaction in the given time/, 504],
  [/Transaction not found/, 404],
  [/Transaction already closed/, 422],
];
const OTHER_ERROR = 500;
const UNKNOWN_TRANSACTION = transactionApiError('Transaction not found. Transaction ID is invalid.');
const NO_CONNECTION = transactionApiError('Unable to start a transaction in the given time.');
/** Of the binary. */
const MAX_WAIT_MS = 2000;
/** The engine panics at anything that is not as long as its own. */
const TRANSACTION_ID = /^[0-9a-z]{20,}$/;

export class Engine {
  #schema;
  #faults;
  #engine;

  /**
   * @param {typeof import('@prisma/query-engine-wasm/postgresql/query_engine_bg.js').QueryEngine} QueryEngine
   * @param {import('./settings.js').Settings} settings
   * @param {object} adapter of adapter.js
   * @param {import('./faults.js').Faults} faults that the adapter uses
   */
  constructor(QueryEngine, settings, adapter, faults) {
    this.#schema = settings.schema;
    this.#faults = faults;
    const options = { datamodel: settings.datamodel, logLevel: 'error', logQueries: false, enableTracing: false };
    this.#engine = new QueryEngine(options, () => {}, adapter);
  }

  /**
   * Make ready, and see whether the database answers.
   *
   * @returns {Promise<import('./faults.js').UserFacingError | null>} why it does not
   */
  async connect() {
    await this.#engine.connect(NO_TRACE);
    const [operation] = this.#translated('mutation { queryRaw(query: "SELECT 1", parameters: "[]") }');
    const answer = JSON.parse(this.#faults.explain(await this.#engine.query(operation.json, NO_TRACE, undefined)));
    return answer.errors?.[0].user_facing_error ?? null;
  }

  /**
   * @param {string} body `{"query": …}` or `{"batch": […], "transaction": true}`
   * @param {string | undefined} transactionId of an interactive transaction
   * @returns {Promise<Answer>}
   */
  async query(body, transactionId) {
    let operations, request;
    try {
      const { query, batch, transaction } = JSON.parse(body);
      operations = this.#translated(...(batch === undefined ? [query] : batch.map((one) => one.query)));
      request = batch === undefined ? operations[0].json : batchOf(operations, transaction);
    } catch (error) {
      return notUnderstood(error);
    }
    if (transactionId !== undefined && !TRANSACTION_ID.test(transactionId)) return asQueryError(UNKNOWN_TRANSACTION);
    const answer = await this.#engine.query(request, NO_TRACE, transactionId);
    return { status: OK, text: toGraphql(this.#faults.explain(answer), operations) };
  }

  /**
   * @param {string} body `{"max_wait": 2000, "timeout": 5000}`, in milliseconds
   * @returns {Promise<Answer>} `{"id": …}`
   */
  async startTransaction(body) {
    const { max_wait: maxWaitMs = MAX_WAIT_MS } = JSON.parse(body);
    const starting = this.#engine.startTransaction(body, NO_TRACE);
    // The WebAssembly engine does not look at max_wait, and waits for as long as the pool allows.
    const answer = await within(maxWaitMs, starting);
    if (answer !== undefined) return this.#transactionAnswer(answer);
    starting.then((late) => this.#undo(late));
    return transactionError(NO_CONNECTION);
  }

  /** @param {string} id @returns {Promise<Answer>} */
  async commitTransaction(id) {
    if (!TRANSACTION_ID.test(id)) return transactionError(UNKNOWN_TRANSACTION);
    return this.#transactionAnswer(await this.#engine.commitTransaction(id, NO_TRACE));
  }

  /** @param {string} id @returns {Promise<Answer>} */
  async rollbackTransaction(id) {
    if (!TRANSACTION_ID.test(id)) return transactionError(UNKNOWN_TRANSACTION);
    return this.#transactionAnswer(await this.#engine.rollbackTransaction(id, NO_TRACE));
  }

  /** End a transaction that began when nobody waited for it any more. */
  #undo(answer) {
    const { id } = JSON.parse(this.#faults.explain(answer));
    if (id !== undefined) return this.#engine.rollbackTransaction(id, NO_TRACE);
  }

  #translated(...texts) {
    return texts.map((text) => translate(parse(text), this.#schema));
  }

  #transactionAnswer(answer) {
    const text = this.#faults.explain(answer);
    const parsed = JSON.parse(text);
    return parsed.message === undefined ? { status: OK, text } : transactionError(parsed);
  }
}

function transactionApiError(error) {
  return {
    is_panic: false,
    message: `Transaction API error: ${error}`,
    meta: { error },
    error_code: TRANSACTION_ERROR,
  };
}

function batchOf(operations, isTransaction) {
  const batch = operations.map((operation) => operation.json).join(',');
  return `{"batch":[${batch}]${isTransaction ? ',"transaction":{}' : ''}}`;
}

function transactionError(error) {
  const known =
    error.error_code === TRANSACTION_ERROR && TRANSACTION_STATUSES.find(([words]) => words.test(error.message));
  return { status: known ? known[1] : OTHER_ERROR, text: JSON.stringify(error) };
}

function asQueryError(error) {
  return { status: OK, text: JSON.stringify({ errors: [{ error: error.message, user_facing_error: error }] }) };
}

/** What a promise comes to, or undefined when that takes longer. */
async function within(ms, promise) {
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, ms)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function notUnderstood(error) {
  if (error instanceof GraphqlError || error instanceof UnknownOperation) {
    return asQueryError({ is_panic: false, message: `Query parsing failure: ${error.message}`, backtrace: null });
  }
  const message = `Error parsing GraphQL query. ${error.message}`;
  return { status: 422, text: JSON.stringify({ is_panic: false, message, backtrace: null }) };
}
