/** Does a connection string mean what it means to the binary engine? */

import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';

import { DatabaseUrlError, readDatabaseUrl } from '../src/database_url.js';

const read = (url) => readDatabaseUrl(url, (path) => `content of ${path}`);
const withParameter = (parameter) => read(`postgresql://h/d?${parameter}`);

test('user, password, host, port and database are decoded', () => {
  const { user, password, host, port, database } = read('postgres://us%40er:p%2Fw%3F@[::1]:5433/my%20db');
  assert.deepEqual(
    { user, password, host, port, database },
    { user: 'us@er', password: 'p/w?', host: '::1', port: 5433, database: 'my db' },
  );
});

test('what is not given has the defaults of the binary', () => {
  assert.deepEqual(read('postgresql://h'), {
    host: 'h',
    port: 5432,
    user: '',
    password: '',
    database: 'postgres',
    schema: 'public',
    options: undefined,
    applicationName: undefined,
    tls: false,
    isBehindPgbouncer: false,
    statementCacheSize: 100,
    connectionLimit: availableParallelism() * 2 + 1,
    poolTimeoutS: 10,
    connectTimeoutS: 5,
    socketTimeoutS: 0,
    maxIdleS: 300,
    maxLifetimeS: 0,
  });
});

for (const [parameter, name, value] of [
  ['connection_limit=7', 'connectionLimit', 7],
  ['pool_timeout=60', 'poolTimeoutS', 60],
  ['connect_timeout=3', 'connectTimeoutS', 3],
  ['socket_timeout=4', 'socketTimeoutS', 4],
  ['max_idle_connection_lifetime=60', 'maxIdleS', 60],
  ['max_connection_lifetime=61', 'maxLifetimeS', 61],
  ['statement_cache_size=0', 'statementCacheSize', 0],
  ['schema=other', 'schema', 'other'],
  ['options=-c%20a%3Db', 'options', '-c a=b'],
  ['application_name=me', 'applicationName', 'me'],
  ['host=/run/pg', 'host', '/run/pg'],
  ['pgbouncer=true', 'isBehindPgbouncer', true],
  ['sslmode=disable', 'tls', false],
  ['sslmode=prefer', 'tls', false],
]) {
  test(`${parameter} is understood`, () => {
    assert.equal(withParameter(parameter)[name], value);
  });
}

test('behind pgbouncer no statement is kept prepared', () => {
  assert.equal(withParameter('pgbouncer=true&statement_cache_size=50').statementCacheSize, 0);
});

test('TLS is used when it is required, with certificates checked when that is asked for', () => {
  assert.deepEqual(withParameter('sslmode=require').tls, { rejectUnauthorized: false });
  assert.deepEqual(withParameter('sslmode=require&sslaccept=strict&sslcert=/ca').tls, {
    rejectUnauthorized: true,
    ca: 'content of /ca',
  });
});

for (const [url, words] of [
  ['secret', 'the database URL must begin with postgresql:// and be a valid URL'],
  ['mysql://u:secret@h/d', 'the database URL must begin with postgresql:// and be a valid URL'],
  ['postgresql://u:secret@h/d?pool_timeout=1.5', 'pool_timeout=1.5 in the database URL must be a whole number'],
  ['postgresql://u:secret%zz@h/d', 'the password in the database URL has a % that begins no character'],
]) {
  test(`${url} is refused without giving the password away`, () => {
    assert.throws(
      () => read(url),
      (error) => error instanceof DatabaseUrlError && error.message === words,
    );
  });
}
