/** Are the facts that translation needs found in a schema? */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readSchema } from '../src/schema.js';

const SCHEMA = `
datasource client {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}
generator client {
  provider = "prisma-client-py"
}
/// model Not { a Json }
model User {
  id       String  @id @default("{}")
  settings Json    @default("{}")
  extras   Json[]
  maybe    Json?
  posts    Post[]  // Json
  name     String? // a Json
  @@index([id])
}
enum Json2 {
  Json
}
model Post {
  author User @relation(fields: [authorId], references: [id])
  authorId String
}
`;

test('fields of type Json are known, whether optional, in lists or neither', () => {
  const user = readSchema(SCHEMA).models.get('User');
  assert.deepEqual(
    [...user].filter(([, fact]) => fact.kind === 'json').map(([name]) => name),
    ['settings', 'extras', 'maybe'],
  );
});

test('fields that lead to another model are known, and no others', () => {
  const { models } = readSchema(SCHEMA);
  assert.deepEqual([...models.keys()], ['User', 'Post']);
  assert.deepEqual(models.get('User').get('posts'), { kind: 'relation', model: 'Post' });
  assert.deepEqual([...models.get('Post')], [['author', { kind: 'relation', model: 'User' }]]);
});

test('the datasource is known by its name and its variable', () => {
  const { datasourceName, datasourceUrl } = readSchema(SCHEMA);
  assert.deepEqual(
    { datasourceName, datasourceUrl },
    { datasourceName: 'client', datasourceUrl: { variable: 'DATABASE_URL' } },
  );
});

test('the datasource may have its address in the schema', () => {
  assert.deepEqual(readSchema('datasource db {\n url = "postgresql://h/d"\n}').datasourceUrl, {
    url: 'postgresql://h/d',
  });
});

test('a schema without a datasource is refused in words', () => {
  assert.throws(() => readSchema('model A {\n}'), /^Error: the schema has no datasource with a url$/);
});
