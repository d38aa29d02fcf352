/** Which statements get a name? */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PreparedStatements } from '../src/prepared_statements.js';

test('a statement has a name from its second time on, always the same', () => {
  const statements = new PreparedStatements(2);
  const names = ['a', 'a', 'b', 'a', 'b'].map((sql) => statements.nameOf(sql));
  assert.deepEqual(names, [undefined, 's0', undefined, 's0', 's1']);
});

test('no more than the given number get one', () => {
  const statements = new PreparedStatements(1);
  assert.deepEqual(
    ['a', 'a', 'b', 'b', 'b', 'a'].map((sql) => statements.nameOf(sql)),
    [undefined, 's0', undefined, undefined, undefined, 's0'],
  );
});

test('none gets one when none are wanted', () => {
  const statements = new PreparedStatements(0);
  assert.deepEqual(
    ['a', 'a'].map((sql) => statements.nameOf(sql)),
    [undefined, undefined],
  );
});

test('many that come once do not keep the others from getting one', () => {
  const statements = new PreparedStatements(100);
  for (let number = 0; number < 10_000; number++) statements.nameOf(`once ${number}`);
  assert.deepEqual(
    ['a', 'a'].map((sql) => statements.nameOf(sql)),
    [undefined, 's0'],
  );
});
