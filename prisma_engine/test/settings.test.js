/** Are command line and environment understood as prisma-client-py sets them? */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SettingsError, asksForVersion, readSettings } from '../src/settings.js';

const SCHEMA = 'datasource client {\n  url = env("DATABASE_URL")\n}\nmodel A {\n  id Int @id\n}\n';
const ARGV = ['-p', '4711', '--enable-metrics', '--enable-raw-queries'];
const ENVIRON = { PRISMA_DML_PATH: '/schema', DATABASE_URL: 'postgresql://u:secret@db.example/d' };
const readFile = (path) => ({ '/schema': SCHEMA })[path];
const settings = (argv = ARGV, environ = {}) => readSettings(argv, { ...ENVIRON, ...environ }, readFile);
const base64 = (text) => Buffer.from(text).toString('base64');

test('what prisma-client-py says is understood', () => {
  const { host, port, hasMetrics, datamodel, schema, database } = settings();
  assert.deepEqual(
    { host, port, hasMetrics, datamodel },
    { host: '127.0.0.1', port: 4711, hasMetrics: true, datamodel: SCHEMA },
  );
  assert.deepEqual([...schema.models.keys()], ['A']);
  assert.equal(database.host, 'db.example');
});

test('what it does not say has the defaults of the binary', () => {
  const { port, hasMetrics } = settings([]);
  assert.deepEqual({ port, hasMetrics }, { port: 4466, hasMetrics: false });
});

test('the host can be given', () => {
  assert.equal(settings(['--host', '0.0.0.0']).host, '0.0.0.0');
});

test('the schema may come as base64', () => {
  assert.equal(settings(ARGV, { PRISMA_DML: base64(SCHEMA), PRISMA_DML_PATH: undefined }).datamodel, SCHEMA);
});

for (const [how, wrap] of [
  ['JSON', (text) => text],
  ['base64 of JSON', base64],
]) {
  test(`OVERWRITE_DATASOURCES as ${how} wins over the schema, if it names its datasource`, () => {
    const override = (name) => wrap(JSON.stringify([{ name, url: 'postgresql://other.example/d' }]));
    assert.equal(settings(ARGV, { OVERWRITE_DATASOURCES: override('client') }).database.host, 'other.example');
    assert.equal(settings(ARGV, { OVERWRITE_DATASOURCES: override('nobody') }).database.host, 'db.example');
  });
}

test('the address may stand in the schema', () => {
  const PRISMA_DML = base64('datasource db {\n url = "postgresql://fixed.example/d"\n}');
  assert.equal(settings(ARGV, { PRISMA_DML }).database.host, 'fixed.example');
});

test('only --version asks for the version', () => {
  assert.deepEqual([['--version'], ['-V'], ARGV].map(asksForVersion), [true, true, false]);
});

for (const [what, argv, environ, words] of [
  [
    'a missing variable',
    ARGV,
    { DATABASE_URL: undefined },
    'the environment variable DATABASE_URL, which the schema names, is not set',
  ],
  [
    'a missing schema',
    ARGV,
    { PRISMA_DML_PATH: undefined },
    'neither PRISMA_DML_PATH nor PRISMA_DML says what the schema is',
  ],
  ['a port in words', ['-p', 'http'], {}, '--port http must be a number'],
  ['another protocol', ARGV, { PRISMA_ENGINE_PROTOCOL: 'json' }, 'PRISMA_ENGINE_PROTOCOL=json must be graphql'],
  [
    'broken overrides',
    ARGV,
    { OVERWRITE_DATASOURCES: '[secret' },
    'OVERWRITE_DATASOURCES is neither JSON nor base64 of JSON',
  ],
]) {
  test(`${what} is refused in words`, () => {
    assert.throws(
      () => settings(argv, environ),
      (error) => error instanceof SettingsError && error.message === words,
    );
  });
}

test('an unknown argument is refused, and named', () => {
  assert.throws(() => settings(['--enable-playground']), /Unknown option '--enable-playground'/);
});
