/** Does the parser read what prisma-client-py writes, digit by digit, and refuse the rest? */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { GraphqlError, parse } from '../src/graphql.js';

test('an operation as prisma-client-py writes it', () => {
  const text = `query {
  result: findManyUser
  (
    take: 3
    where: {
      name: {
        in: ["a", "b",
        "c"]
      }
    }
  )
  {
    id
    posts(
      take: 1
    )
    {
      id
    }
  }
}`;
  const field = parse(text);
  assert.equal(field.alias, 'result');
  assert.equal(field.name, 'findManyUser');
  assert.deepEqual(field.args[0], ['take', { kind: 'literal', text: '3' }]);
  const [, where] = field.args[1];
  assert.deepEqual(
    where.entries[0][1].entries[0][1].items.map((item) => item.text),
    ['"a"', '"b"', '"c"'],
  );
  assert.deepEqual(field.selection[0], { name: 'id', alias: 'id', args: null, selection: null });
  assert.equal(field.selection[1].selection[0].name, 'id');
});

test('a field without an alias is called by its name', () => {
  assert.equal(parse('{ findManyUser { id } }').alias, 'findManyUser');
});

for (const text of ['12345678901234567890', '-1', '1.0', '0.1', '1e-7', '-2.5E+10', 'true', 'false', 'null']) {
  test(`the literal ${text} keeps every character`, () => {
    assert.deepEqual(parse(`{ a(x: ${text}) }`).args, [['x', { kind: 'literal', text }]]);
  });
}

for (const string of [
  '',
  'plain',
  'a "quote"',
  'ends with a backslash\\',
  '\\"',
  '日本 \u2028 😀',
  'line\nbreak',
  '} ] ) #',
]) {
  test(`the string ${JSON.stringify(string)} keeps every character`, () => {
    const text = JSON.stringify(string);
    assert.deepEqual(parse(`{ a(x: ${text}, y: 1) }`).args[0], ['x', { kind: 'string', text }]);
  });
}

test('commas, comments and a byte order mark are as good as blanks', () => {
  assert.deepEqual(
    parse('\ufeff{a(x:1,,y:2)#comment }\n{b,c}}').selection.map((field) => field.name),
    ['b', 'c'],
  );
});

test('a member of an enum is told from a string', () => {
  assert.deepEqual(parse('{ a(x: desc) }').args, [['x', { kind: 'name', text: 'desc' }]]);
});

for (const [text, words] of [
  ['', 'expected a name at character 0 of the query, found: the end'],
  ['query { a', 'expected "}" at character 9 of the query, found: the end'],
  ['{ a(x: "open) }', 'expected the end of a string at character 7 of the query, found: "open) }'],
  ['{ a(x: ) }', 'expected a name at character 7 of the query, found: ) }'],
  ['{ a b }', 'expected "}" at character 4 of the query, found: b }'],
  ['{ a } { b }', 'expected the end of the text at character 6 of the query, found: { b }'],
  ['{ a(x: $v) }', 'expected a name at character 7 of the query, found: $v) }'],
  ['{ ...f }', 'expected a name at character 2 of the query, found: ...f }'],
]) {
  test(`${JSON.stringify(text)} is refused in words`, () => {
    assert.throws(
      () => parse(text),
      (error) => error instanceof GraphqlError && error.message === words,
    );
  });
}
