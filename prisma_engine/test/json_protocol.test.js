/** Is each query translated, and each value of a Json field tagged, and nothing else? */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parse } from '../src/graphql.js';
import { UnknownOperation, translate } from '../src/json_protocol.js';
import { readSchema } from '../src/schema.js';

const SCHEMA = readSchema(`
datasource db {
  url = env("DATABASE_URL")
}
model User {
  id    Int @id
  name  String
  meta  Json
  list  Json[]
  posts Post[]
}
model Post {
  id     Int @id
  data   Json
  author User
  user   User?
}
model ManyThing {
  id Int @id
}
`);

const tagged = (json) => ({ $type: 'Json', value: json });
const operation = (text) => translate(parse(text), SCHEMA);
const translated = (text) => JSON.parse(operation(text).json);
const argument = (text, name) => translated(text).query.arguments[name];

for (const [field, action, modelName] of [
  ['findUniqueUser', 'findUnique', 'User'],
  ['findUniqueUserOrThrow', 'findUniqueOrThrow', 'User'],
  ['findFirstUser', 'findFirst', 'User'],
  ['findFirstUserOrThrow', 'findFirstOrThrow', 'User'],
  ['findManyUser', 'findMany', 'User'],
  ['createOneUser', 'createOne', 'User'],
  ['createManyUser', 'createMany', 'User'],
  ['createManyManyThing', 'createMany', 'ManyThing'],
  ['updateOneUser', 'updateOne', 'User'],
  ['updateManyUser', 'updateMany', 'User'],
  ['upsertOneUser', 'upsertOne', 'User'],
  ['deleteOneUser', 'deleteOne', 'User'],
  ['deleteManyUser', 'deleteMany', 'User'],
  ['aggregateUser', 'aggregate', 'User'],
  ['groupByUser', 'groupBy', 'User'],
]) {
  test(`${field} is ${action} of ${modelName}`, () => {
    const { json, ...names } = operation(`query { result: ${field} { id } }`);
    assert.deepEqual(names, { field, alias: 'result', isRaw: false });
    assert.deepEqual(JSON.parse(json), { modelName, action, query: { arguments: {}, selection: { id: true } } });
  });
}

for (const action of ['queryRaw', 'executeRaw']) {
  test(`${action} has no model, and its parameters stay a string`, () => {
    const text = `mutation { result: ${action}(query: "SELECT $1", parameters: "[\\"a\\"]") }`;
    assert.equal(operation(text).isRaw, true);
    const query = { arguments: { query: 'SELECT $1', parameters: '["a"]' }, selection: {} };
    assert.deepEqual(translated(text), { action, query });
  });
}

for (const name of ['findManyNobody', 'subscribeUser', 'findMany']) {
  test(`${name} is refused in words`, () => {
    const words = { name: 'Error', message: `Operation '${name}' does not match any query.` };
    assert.throws(
      () => operation(`{ ${name} { id } }`),
      (error) => error instanceof UnknownOperation && error.message === words.message,
    );
  });
}

test('a selection keeps its arguments and what is selected below', () => {
  const { selection } = translated('{ r: findManyUser { id posts(take: 1) { id } _count { posts } } }').query;
  assert.deepEqual(selection, {
    id: true,
    posts: { arguments: { take: 1 }, selection: { id: true } },
    _count: { arguments: {}, selection: { posts: true } },
  });
});

test('numbers keep all their digits', () => {
  assert.match(
    operation('{ findManyUser(where: {id: 9007199254740993, x: 1.0}) { id } }').json,
    /"id":9007199254740993,"x":1\.0/,
  );
});

test('members of enums become strings', () => {
  assert.deepEqual(argument('{ findManyUser(orderBy: [{id: desc}]) { id } }', 'orderBy'), [{ id: 'desc' }]);
});

test('Json fields of data are tagged, others are not', () => {
  const data = argument(
    '{ createOneUser(data: {id: 1, name: "{}", meta: "{\\"a\\": 1}", list: ["1", "2"]}) { id } }',
    'data',
  );
  assert.deepEqual(data, { id: 1, name: '{}', meta: tagged('{"a": 1}'), list: [tagged('1'), tagged('2')] });
});

test('Json fields of each record of createMany are tagged', () => {
  const data = argument(
    '{ createManyUser(data: [{id: 1, meta: "1"}, {id: 2, meta: "2"}], skipDuplicates: true) { count } }',
    'data',
  );
  assert.deepEqual(data, [
    { id: 1, meta: tagged('1') },
    { id: 2, meta: tagged('2') },
  ]);
});

test('both halves of an upsert are tagged', () => {
  const text =
    '{ upsertOneUser(where: {id: 1}, create: {meta: "1"}, update: {meta: {set: "2"}, list: {push: ["3"]}}) { id } }';
  assert.deepEqual(argument(text, 'create'), { meta: tagged('1') });
  assert.deepEqual(argument(text, 'update'), { meta: { set: tagged('2') }, list: { push: [tagged('3')] } });
  assert.deepEqual(argument(text, 'where'), { id: 1 });
});

test('operators that take JSON are tagged, those that take strings are not', () => {
  const text = `{ findManyUser(where: {meta: {path: ["a"], equals: "1", not: "2", array_contains: "[3]",
    string_contains: "s", string_starts_with: "t"}, list: {has: "4", hasSome: ["5"], isEmpty: false}, name: {equals: "n"}}) { id } }`;
  assert.deepEqual(argument(text, 'where'), {
    meta: {
      path: ['a'],
      equals: tagged('1'),
      not: tagged('2'),
      array_contains: tagged('[3]'),
      string_contains: 's',
      string_starts_with: 't',
    },
    list: { has: tagged('4'), hasSome: [tagged('5')], isEmpty: false },
    name: { equals: 'n' },
  });
});

test('filters are tagged below AND, OR, NOT and relations', () => {
  const text = `{ findManyUser(where: {AND: [{OR: [{meta: {equals: "1"}}]}], NOT: {meta: {equals: "2"}},
    posts: {some: {data: {equals: "3"}, author: {is: {meta: {equals: "4"}}, isNot: null}}}}) { id } }`;
  assert.deepEqual(argument(text, 'where'), {
    AND: [{ OR: [{ meta: { equals: tagged('1') } }] }],
    NOT: { meta: { equals: tagged('2') } },
    posts: { some: { data: { equals: tagged('3') }, author: { is: { meta: { equals: tagged('4') } }, isNot: null } } },
  });
});

test('filters of a selection are those of the model that it leads to', () => {
  const { selection } = translated(
    '{ findManyUser { posts(where: {data: {equals: "1"}}) { author { posts(where: {data: {equals: "2"}}) { id } } } } }',
  ).query;
  assert.deepEqual(selection.posts.arguments.where, { data: { equals: tagged('1') } });
  assert.deepEqual(selection.posts.selection.author.selection.posts.arguments.where, { data: { equals: tagged('2') } });
});

test('writes to related records are tagged, where an argument has the name of a Json field too', () => {
  const text = `{ updateOneUser(where: {id: 1}, data: {posts: {
    create: [{data: "1"}],
    connectOrCreate: [{where: {id: 2}, create: {data: "2"}}],
    createMany: {data: [{data: "3"}], skipDuplicates: true},
    update: [{where: {id: 4}, data: {data: "4"}}],
    updateMany: [{where: {data: {equals: "5"}}, data: {data: "6"}}],
    upsert: [{where: {id: 7}, create: {data: "7"}, update: {data: "8"}}],
    connect: [{id: 9}], disconnect: [{id: 10}], set: [{id: 11}], delete: [{id: 12}], deleteMany: [{data: {equals: "13"}}]
  }}) { id } }`;
  assert.deepEqual(argument(text, 'data').posts, {
    create: [{ data: tagged('1') }],
    connectOrCreate: [{ where: { id: 2 }, create: { data: tagged('2') } }],
    createMany: { data: [{ data: tagged('3') }], skipDuplicates: true },
    update: [{ where: { id: 4 }, data: { data: tagged('4') } }],
    updateMany: [{ where: { data: { equals: tagged('5') } }, data: { data: tagged('6') } }],
    upsert: [{ where: { id: 7 }, create: { data: tagged('7') }, update: { data: tagged('8') } }],
    connect: [{ id: 9 }],
    disconnect: [{ id: 10 }],
    set: [{ id: 11 }],
    delete: [{ id: 12 }],
    deleteMany: [{ data: { equals: tagged('13') } }],
  });
});

test('what leads to one record may be updated with or without saying which', () => {
  const update = (text) =>
    argument(`{ updateOnePost(where: {id: 1}, data: {user: {update: ${text}}}) { id } }`, 'data').user.update;
  assert.deepEqual(update('{meta: "1", name: "n"}'), { meta: tagged('1'), name: 'n' });
  assert.deepEqual(update('{where: {meta: {equals: "1"}}, data: {meta: "2"}}'), {
    where: { meta: { equals: tagged('1') } },
    data: { meta: tagged('2') },
  });
  assert.equal(
    argument('{ updateOnePost(where: {id: 1}, data: {user: {delete: true}}) { id } }', 'data').user.delete,
    true,
  );
});

test('having is a filter, too', () => {
  assert.deepEqual(argument('{ groupByUser(by: ["name"], having: {meta: {equals: "1"}}) { name } }', 'having'), {
    meta: { equals: tagged('1') },
  });
});

test('the enums that stand for null are not taken for JSON', () => {
  assert.deepEqual(argument('{ updateOneUser(where: {id: 1}, data: {meta: "DbNull"}) { id } }', 'data'), {
    meta: { $type: 'Enum', value: 'DbNull' },
  });
});

test('what is no string is left to the engine to refuse, as the binary does', () => {
  assert.deepEqual(argument('{ updateOneUser(where: {id: 1}, data: {meta: 5}) { id } }', 'data'), { meta: 5 });
});
