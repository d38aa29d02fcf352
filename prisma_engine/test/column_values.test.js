/** Are values of PostgreSQL read rightly where @prisma/adapter-pg does not? */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parserOf, readAs } from '../src/column_values.js';

test('arrays of timestamps with time zone are read as arrays of timestamps', () => {
  assert.deepEqual(parserOf(1185)('{"2024-03-01 00:00:00.5+00",NULL}'), ['2024-03-01 00:00:00.5', null]);
  assert.equal(readAs(1185), 1115);
});

test('the offset of a time goes, whatever its sign', () => {
  const texts = ['12:00:00+02', '12:00:00.5-03:30', '12:00:00'];
  assert.deepEqual(texts.map(parserOf(1266)), ['12:00:00', '12:00:00.5', '12:00:00']);
});

test('arrays of JSON are read as arrays of JSON texts', () => {
  for (const oid of [199, 3807])
    assert.deepEqual(parserOf(oid)('{"{\\"a\\": 1}","\\"x\\"",NULL}'), ['{"a": 1}', '"x"', null]);
});

test('names are texts', () => {
  assert.deepEqual([18, 19, 1003].map(readAs), [25, 25, 1009]);
});

test('all else is left to the adapter', () => {
  for (const oid of [23, 1114, 1184, 3802, 2278]) assert.deepEqual([readAs(oid), parserOf(oid)], [oid, undefined]);
});
