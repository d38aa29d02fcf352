/** Does an answer of the engine become what GraphQL would answer, character by character? */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { toGraphql } from '../src/response.js';

const ONE = [{ field: 'findManyA', alias: 'result', isRaw: false, json: '' }];
const RAW = [{ field: 'queryRaw', alias: 'result', isRaw: true, json: '' }];

test('tagged values become plain ones', () => {
  const tags = ['DateTime', 'BigInt', 'Decimal', 'Json', 'Bytes', 'Enum'];
  const values = tags.map((tag) => `"${tag}":{"$type":"${tag}","value":"x"}`).join(',');
  const plain = tags.map((tag) => `"${tag}":"x"`).join(',');
  assert.equal(toGraphql(`{"data":{"findManyA":[{${values}}]}}`, ONE), `{"data":{"result":[{${plain}}]}}`);
});

test('a float without a fraction keeps its point', () => {
  assert.equal(toGraphql('{"data":{"findManyA":[{"x":100.0}]}}', ONE), '{"data":{"result":[{"x":100.0}]}}');
});

test('a string that looks like a tagged value stays', () => {
  const value = JSON.stringify('{"$type":"Json","value":"x"}');
  assert.equal(toGraphql(`{"data":{"findManyA":[{"s":${value}}]}}`, ONE), `{"data":{"result":[{"s":${value}}]}}`);
});

test('JSON text with quotes and backslashes stays whole', () => {
  const value = JSON.stringify(JSON.stringify({ a: 'x"\\"}', b: '\\' }));
  assert.equal(
    toGraphql(`{"data":{"findManyA":{"j":{"$type":"Json","value":${value}}}}}`, ONE),
    `{"data":{"result":{"j":${value}}}}`,
  );
});

test('long JSON texts are no problem', () => {
  const value = JSON.stringify('\\"'.repeat(2_000_000));
  assert.equal(
    toGraphql(`{"data":{"findManyA":{"$type":"Json","value":${value}}}}`, ONE),
    `{"data":{"result":${value}}}`,
  );
});

test('columns of SQL queries stay as they are, even where they look like tags', () => {
  const columns = '{"columns":["j"],"types":["json"],"rows":[[{"$type":"Json","value":"x"}]]}';
  assert.equal(toGraphql(`{"data":{"queryRaw":${columns}}}`, RAW), `{"data":{"result":${columns}}}`);
});

test('each result of a batch gets its alias, and errors stay', () => {
  const operations = ['a', 'b', 'c'].map((alias) => ({ ...ONE[0], alias }));
  const answer = '{"batchResult":[{"data":{"findManyA":1}},{"errors":[{"error":"x"}]},{"data":{"findManyA":2}}]}';
  const expected = '{"batchResult":[{"data":{"a":1}},{"errors":[{"error":"x"}]},{"data":{"b":2}}]}';
  assert.equal(toGraphql(answer, operations), expected);
});
