/** Do failures on the way to PostgreSQL get the codes that the binary gives them? */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Faults, userFacing } from '../src/faults.js';

const SETTINGS = { host: 'db', port: 5433, connectionLimit: 3, poolTimeoutS: 2, socketTimeoutS: 4 };
const UNREACHABLE = {
  is_panic: false,
  message:
    "Can't reach database server at `db`:`5433`\n\nPlease make sure your database server is running at `db`:`5433`.",
  meta: { database_host: 'db', database_port: 5433 },
  error_code: 'P1001',
};
const withCode = (code) => Object.assign(new Error('connect'), { code });
const external = (id) => ({
  error: `id ${id}`,
  user_facing_error: { is_panic: false, message: 'x', meta: { id }, error_code: 'P2036' },
});

for (const [message, code, meta] of [
  ['timeout expired', 'P1001', UNREACHABLE.meta],
  ['Connection terminated unexpectedly', 'P1017', null],
  ['Client has encountered a connection error and is not queryable', 'P1017', null],
  ['timeout exceeded when trying to connect', 'P2024', { connection_limit: 3, timeout: 2 }],
  ['Connection terminated due to connection timeout', 'P2024', { connection_limit: 3, timeout: 2 }],
  ['Query read timeout', 'P1008', { time: '4s' }],
  ['The server does not support SSL connections', 'P1011', { message: 'The server does not support SSL connections' }],
]) {
  test(`"${message}" is ${code}`, () => {
    const { error_code: found, meta: foundMeta } = userFacing(new Error(message), SETTINGS);
    assert.deepEqual([found, foundMeta], [code, meta]);
  });
}

for (const [code, expected] of [
  ['ECONNREFUSED', 'P1001'],
  ['ENOTFOUND', 'P1001'],
  ['EHOSTUNREACH', 'P1001'],
  ['ECONNRESET', 'P1017'],
  ['EPIPE', 'P1017'],
]) {
  test(`${code} is ${expected}`, () => {
    assert.equal(userFacing(withCode(code), SETTINGS).error_code, expected);
  });
}

test('what is neither is not taken for an outage', () => {
  const { error_code: code, message } = userFacing(new Error('x is not a function'), SETTINGS);
  assert.deepEqual([code, message], [undefined, 'Error in the driver: x is not a function']);
});

test('what the pool was asked for is in the words of a full pool', () => {
  const { message } = userFacing(new Error('timeout exceeded when trying to connect'), SETTINGS);
  assert.match(
    message,
    /^Timed out fetching a new connection .* \(Current connection pool timeout: 2, connection limit: 3\)$/,
  );
});

test('an answer gets the errors that its numbers stand for', () => {
  const faults = new Faults(SETTINGS);
  const id = faults.keep(withCode('ECONNREFUSED'));
  const [{ error, user_facing_error: found }] = JSON.parse(
    faults.explain(JSON.stringify({ errors: [external(id)] })),
  ).errors;
  assert.deepEqual([error, found], [UNREACHABLE.message, UNREACHABLE]);
});

test('so do the results of a batch, each its own', () => {
  const faults = new Faults(SETTINGS);
  const ids = ['ECONNREFUSED', 'ECONNRESET'].map((code) => faults.keep(withCode(code)));
  const answer = { batchResult: [{ data: { x: 1 } }, ...ids.map((id) => ({ errors: [external(id)] }))] };
  const [first, ...others] = JSON.parse(faults.explain(JSON.stringify(answer))).batchResult;
  assert.deepEqual(first, { data: { x: 1 } });
  assert.deepEqual(
    others.map(({ errors }) => errors[0].user_facing_error.error_code),
    ['P1001', 'P1017'],
  );
});

test('so does an error that stands alone, as those of transactions do', () => {
  const faults = new Faults(SETTINGS);
  const id = faults.keep(withCode('ECONNREFUSED'));
  assert.deepEqual(JSON.parse(faults.explain(JSON.stringify(external(id).user_facing_error))), UNREACHABLE);
});

test('an answer without such a number stays as it is, to the character', () => {
  const faults = new Faults(SETTINGS);
  const answer = '{"data":{"x":100.0,"s":"P2036"}}';
  assert.equal(faults.explain(answer), answer);
});

test('errors that nobody asks for do not pile up', () => {
  const faults = new Faults(SETTINGS);
  const first = faults.keep(new Error('Connection terminated unexpectedly'));
  for (let number = 0; number < 5000; number++) faults.keep(new Error('x'));
  const [{ error }] = JSON.parse(faults.explain(JSON.stringify({ errors: [external(first)] }))).errors;
  assert.equal(error, 'Error in the driver: it is not known any more');
});
