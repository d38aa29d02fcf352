/**
 * Does each query that prisma-client-py can ask do to the database what it says?
 *
 * What the database holds is written and read without the engine.
 */

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { EngineProcess, gql, json, makeDatabase, raw } from './support.js';

const USER = '{ id email name visits }';
let database;
let engine;

before(async () => {
  database = await makeDatabase();
  engine = await EngineProcess.start(database.url);
});
after(async () => {
  await engine.stop();
  await database.drop();
});
beforeEach(() => database.sql('TRUNCATE "User" RESTART IDENTITY CASCADE'));

/** Users a, b, c … with 1, 2, 3 … visits. */
async function addUsers(...names) {
  for (const [index, name] of names.entries()) {
    await database.sql('INSERT INTO "User" (id, email, name, visits) VALUES ($1, $2, $3, $4)', [
      name,
      `${name}@x`,
      name,
      index + 1,
    ]);
  }
}

async function addPost(title, author, data = {}) {
  await database.sql('INSERT INTO "Post" (title, author_id, data) VALUES ($1, $2, $3)', [title, author, data]);
}

const ids = (records) => records.map((record) => record.id);

describe('reads', () => {
  test('findUnique finds by each unique field, or nothing', async () => {
    await addUsers('a');
    const found = { id: 'a', email: 'a@x', name: 'a', visits: '1' };
    assert.deepEqual(await engine.result(gql('findUniqueUser', { where: { id: 'a' } }, USER)), found);
    assert.deepEqual(await engine.result(gql('findUniqueUser', { where: { email: 'a@x' } }, USER)), found);
    assert.equal(await engine.result(gql('findUniqueUser', { where: { id: 'b' } }, USER)), null);
  });

  test('findUnique finds by a compound key', async () => {
    await addUsers('a');
    await addPost('one', 'a');
    const where = { author_id_title: { author_id: 'a', title: 'one' } };
    assert.deepEqual(await engine.result(gql('findUniquePost', { where }, '{ id title }')), { id: 1, title: 'one' });
  });

  test('findUniqueOrThrow and findFirstOrThrow say that there is nothing', async () => {
    assert.equal((await engine.error(gql('findUniqueUserOrThrow', { where: { id: 'x' } }))).error_code, 'P2025');
    assert.equal((await engine.error(gql('findFirstUserOrThrow', { where: { id: 'x' } }))).error_code, 'P2025');
  });

  test('findFirst takes the first in order', async () => {
    await addUsers('a', 'b', 'c');
    const args = { where: { visits: { gte: 2 } }, orderBy: [{ visits: 'desc' }] };
    assert.equal((await engine.result(gql('findFirstUser', args))).id, 'c');
  });

  for (const [what, where, expected] of [
    ['equals', { name: 'b' }, ['b']],
    ['not', { name: { not: 'b' } }, ['a', 'c']],
    ['in', { name: { in: ['a', 'c', 'x'] } }, ['a', 'c']],
    ['notIn', { name: { notIn: ['a'] } }, ['b', 'c']],
    ['an empty in', { name: { in: [] } }, []],
    ['lt and gte', { visits: { lt: 3, gte: 2 } }, ['b']],
    ['contains, whatever the case', { email: { contains: 'A@', mode: 'insensitive' } }, ['a']],
    ['startsWith and endsWith', { email: { startsWith: 'c', endsWith: 'x' } }, ['c']],
    ['null', { notes: { equals: 'DbNull' } }, ['a', 'b', 'c']],
    ['AND, OR and NOT', { OR: [{ name: 'a' }, { AND: [{ name: 'b' }, { visits: 2 }] }], NOT: [{ id: 'a' }] }, ['b']],
    ['an enum', { role: 'USER' }, ['a', 'b', 'c']],
    ['nothing', {}, ['a', 'b', 'c']],
  ]) {
    test(`findMany filters by ${what}`, async () => {
      await addUsers('a', 'b', 'c');
      assert.deepEqual(ids(await engine.result(gql('findManyUser', { where, orderBy: { id: 'asc' } }))), expected);
    });
  }

  test('findMany pages by skip and take, and from a cursor', async () => {
    await addUsers('a', 'b', 'c', 'd');
    const page = async (args) => ids(await engine.result(gql('findManyUser', { orderBy: { id: 'asc' }, ...args })));
    assert.deepEqual(await page({ skip: 1, take: 2 }), ['b', 'c']);
    assert.deepEqual(await page({ cursor: { id: 'b' }, skip: 1, take: 2 }), ['c', 'd']);
    assert.deepEqual(await page({ take: -2 }), ['c', 'd']);
  });

  test('findMany takes distinct ones', async () => {
    await addUsers('a', 'b');
    await database.sql(`UPDATE "User" SET name = 'same'`);
    assert.equal((await engine.result(gql('findManyUser', { distinct: ['name'] }))).length, 1);
  });

  test('findMany includes related records, filtered and in order', async () => {
    await addUsers('a', 'b');
    for (const title of ['one', 'two', 'three']) await addPost(title, 'a', { title });
    const selection = `{ id posts(where: {data: {path: ["title"], string_contains: "t"}} orderBy: [{title: "asc"}]) { title author { id } } }`;
    assert.deepEqual(await engine.result(gql('findManyUser', { orderBy: { id: 'asc' } }, selection)), [
      {
        id: 'a',
        posts: [
          { title: 'three', author: { id: 'a' } },
          { title: 'two', author: { id: 'a' } },
        ],
      },
      { id: 'b', posts: [] },
    ]);
  });

  test('findMany filters by related records', async () => {
    await addUsers('a', 'b');
    await addPost('one', 'a');
    assert.deepEqual(ids(await engine.result(gql('findManyUser', { where: { posts: { some: { title: 'one' } } } }))), [
      'a',
    ]);
    assert.deepEqual(ids(await engine.result(gql('findManyUser', { where: { posts: { none: {} } } }))), ['b']);
    assert.deepEqual((await engine.result(gql('findManyPost', { where: { author: { is: { id: 'a' } } } }))).length, 1);
  });

  test('count counts, with and without a filter', async () => {
    await addUsers('a', 'b', 'c');
    assert.deepEqual(
      await engine.result(gql('aggregateUser', { where: { visits: { gt: 1 } } }, '{ _count { _all } }')),
      { _count: { _all: 2 } },
    );
    assert.deepEqual(await engine.result('query { result: aggregateUser { _count { _all name } } }'), {
      _count: { _all: 3, name: 3 },
    });
  });

  test('groupBy sums, averages and filters groups', async () => {
    await addUsers('a', 'b', 'c');
    await database.sql(`UPDATE "User" SET name = 'same', score = 1.5 WHERE id <> 'a'`);
    const args = { by: ['name'], orderBy: [{ name: 'asc' }], having: { visits: { _sum: { gt: 1 } } } };
    const selection = '{ name _count { _all } _sum { visits score } _avg { score } _min { id } _max { id } }';
    assert.deepEqual(await engine.result(gql('groupByUser', args, selection)), [
      {
        name: 'same',
        _count: { _all: 2 },
        _sum: { visits: '5', score: 3 },
        _avg: { score: 1.5 },
        _min: { id: 'b' },
        _max: { id: 'c' },
      },
    ]);
  });
});

describe('writes', () => {
  test('create writes what it is given, defaults for the rest, and answers with both', async () => {
    const created = await engine.result(
      gql('createOneUser', { data: { email: 'a@x', tags: ['x'] } }, '{ id email role settings visits }'),
    );
    assert.match(created.id, /^[0-9a-f-]{36}$/);
    assert.deepEqual({ ...created, id: '' }, { id: '', email: 'a@x', role: 'USER', settings: '{}', visits: '0' });
    const [{ email, tags, role }] = await database.sql('SELECT * FROM "User" WHERE id = $1', [created.id]);
    assert.deepEqual({ email, tags, role }, { email: 'a@x', tags: ['x'], role: 'USER' });
  });

  test('a second record with the same key is refused, and told by its fields', async () => {
    await addUsers('a');
    const { error_code, meta } = await engine.error(gql('createOneUser', { data: { email: 'a@x' } }));
    assert.deepEqual({ error_code, meta }, { error_code: 'P2002', meta: { target: ['email'] } });
  });

  test('a record that leads nowhere is refused', async () => {
    assert.equal(
      (await engine.error(gql('createOnePost', { data: { title: 't', author_id: 'nobody' } }))).error_code,
      'P2003',
    );
  });

  test('a query with a field that does not exist, or without one that must, is refused', async () => {
    assert.equal((await engine.error(gql('createOneUser', { data: { email: 'a', nothing: 1 } }))).error_code, 'P2009');
    assert.match(
      (await engine.error(gql('createOneUser', { data: { name: 'a' } }))).message,
      /A value is required but not set/,
    );
  });

  test('createMany writes all, and skips duplicates when told to', async () => {
    await addUsers('a');
    const data = ['a', 'b', 'c'].map((name) => ({ id: name, email: `${name}@x`, settings: json({ name }) }));
    assert.equal((await engine.error(gql('createManyUser', { data }, '{ count }'))).error_code, 'P2002');
    assert.deepEqual(await engine.result(gql('createManyUser', { data, skipDuplicates: true }, '{ count }')), {
      count: 2,
    });
    const rows = await database.sql('SELECT id, settings FROM "User" ORDER BY id');
    assert.deepEqual(rows, [
      { id: 'a', settings: {} },
      { id: 'b', settings: { name: 'b' } },
      { id: 'c', settings: { name: 'c' } },
    ]);
  });

  test('createMany of more values than one statement can hold writes all', async () => {
    const data = Array.from({ length: 12_000 }, (_, index) => ({ id: String(index), email: String(index), name: 'n' }));
    assert.deepEqual(await engine.result(gql('createManyUser', { data }, '{ count }')), { count: 12_000 });
    assert.deepEqual(await database.sql('SELECT count(*)::int FROM "User"'), [{ count: 12_000 }]);
  });

  test('update changes one, by values and by operations', async () => {
    await addUsers('a', 'b');
    const data = { name: 'new', visits: { increment: 5 }, score: { set: 2.5 } };
    assert.equal((await engine.result(gql('updateOneUser', { where: { id: 'a' }, data }, USER))).visits, '6');
    const rows = await database.sql('SELECT id, name, visits::int, score FROM "User" ORDER BY id');
    assert.deepEqual(rows, [
      { id: 'a', name: 'new', visits: 6, score: 2.5 },
      { id: 'b', name: 'b', visits: 2, score: 0 },
    ]);
  });

  for (const [operation, expected] of [
    ['increment', 8],
    ['decrement', 4],
    ['multiply', 12],
    ['divide', 3],
    ['set', 2],
  ]) {
    test(`update can ${operation}`, async () => {
      await addUsers('a');
      await addPost('t', 'a');
      await database.sql('UPDATE "Post" SET views = 6');
      await engine.result(gql('updateOnePost', { where: { id: 1 }, data: { views: { [operation]: 2 } } }));
      assert.deepEqual(await database.sql('SELECT views FROM "Post"'), [{ views: expected }]);
    });
  }

  test('update and delete of what is not there are errors', async () => {
    assert.equal(
      (await engine.error(gql('updateOneUser', { where: { id: 'x' }, data: { name: 'n' } }))).error_code,
      'P2025',
    );
    assert.equal((await engine.error(gql('deleteOneUser', { where: { id: 'x' } }))).error_code, 'P2025');
  });

  test('updateMany changes all that match, and tells how many', async () => {
    await addUsers('a', 'b', 'c');
    const args = { where: { visits: { gt: 1 } }, data: { name: 'new', settings: json([1, 'x']) } };
    assert.deepEqual(await engine.result(gql('updateManyUser', args, '{ count }')), { count: 2 });
    const rows = await database.sql(`SELECT id, settings FROM "User" WHERE name = 'new' ORDER BY id`);
    assert.deepEqual(rows, [
      { id: 'b', settings: [1, 'x'] },
      { id: 'c', settings: [1, 'x'] },
    ]);
  });

  test('upsert creates the first time and updates the second', async () => {
    const args = {
      where: { email: 'a@x' },
      create: { email: 'a@x', settings: json({ made: 'created' }) },
      update: { settings: json({ made: 'updated' }), visits: { increment: 1 } },
    };
    const settings = async () => (await engine.result(gql('upsertOneUser', args, '{ settings }'))).settings;
    assert.equal(await settings(), '{"made":"created"}');
    assert.equal(await settings(), '{"made":"updated"}');
    assert.deepEqual(await database.sql('SELECT settings, visits::int FROM "User"'), [
      { settings: { made: 'updated' }, visits: 1 },
    ]);
  });

  test('delete removes one and answers with it, deleteMany removes all that match', async () => {
    await addUsers('a', 'b', 'c');
    assert.equal((await engine.result(gql('deleteOneUser', { where: { id: 'a' } }, USER))).name, 'a');
    assert.deepEqual(await engine.result(gql('deleteManyUser', { where: { visits: { gt: 2 } } }, '{ count }')), {
      count: 1,
    });
    assert.deepEqual(await database.sql('SELECT id FROM "User"'), [{ id: 'b' }]);
  });

  test('nested writes create, connect, update and delete related records', async () => {
    await addUsers('a', 'b');
    await addPost('of b', 'b');
    const data = {
      posts: { create: [{ title: 'one', data: json({ n: 1 }) }, { title: 'two' }], connect: [{ id: 1 }] },
      profile: { create: { bio: json('me') } },
    };
    await engine.result(gql('updateOneUser', { where: { id: 'a' }, data }));
    const posts = () => database.sql('SELECT title, data, author_id FROM "Post" ORDER BY title');
    assert.deepEqual(await posts(), [
      { title: 'of b', data: {}, author_id: 'a' },
      { title: 'one', data: { n: 1 }, author_id: 'a' },
      { title: 'two', data: {}, author_id: 'a' },
    ]);
    assert.deepEqual(await database.sql('SELECT bio, user_id FROM "Profile"'), [{ bio: 'me', user_id: 'a' }]);
    const more = {
      posts: {
        update: [{ where: { author_id_title: { author_id: 'a', title: 'one' } }, data: { data: json({ n: 2 }) } }],
        delete: [{ id: 1 }],
        upsert: [{ where: { id: 999 }, create: { title: 'three', data: json([3]) }, update: { title: 'no' } }],
        deleteMany: [{ title: 'two' }],
      },
      profile: { update: { bio: json({ me: 'again' }) } },
    };
    await engine.result(gql('updateOneUser', { where: { id: 'a' }, data: more }));
    assert.deepEqual(await posts(), [
      { title: 'one', data: { n: 2 }, author_id: 'a' },
      { title: 'three', data: [3], author_id: 'a' },
    ]);
    assert.deepEqual(await database.sql('SELECT bio FROM "Profile"'), [{ bio: { me: 'again' } }]);
  });
});

describe('values', () => {
  /** What becomes of a value on its way in, as PostgreSQL writes it, and out again. */
  async function wayThrough(field, value, asText = `${field}::text`) {
    await engine.result(gql('createOneUser', { data: { id: 'v', email: 'v', [field]: value } }));
    const [{ stored }] = await database.sql(`SELECT ${asText} AS stored FROM "User"`);
    return {
      stored,
      answered: (await engine.result(gql('findUniqueUser', { where: { id: 'v' } }, `{ ${field} }`)))[field],
    };
  }

  for (const value of [
    { a: { b: [1, 2.5, null, true, 'x"\\\n'] } },
    [],
    'a string',
    'null',
    0,
    1.5,
    true,
    false,
    '日本 😀 \u2028',
  ]) {
    test(`the JSON ${JSON.stringify(value)} stays what it is`, async () => {
      const { stored, answered } = await wayThrough('settings', json(value), 'settings');
      assert.deepEqual(stored, value);
      assert.deepEqual(JSON.parse(answered), value);
    });
  }

  test('a JSON null is not a missing value', async () => {
    assert.deepEqual(await wayThrough('notes', 'null'), { stored: 'null', answered: 'null' });
    await engine.result(gql('updateOneUser', { where: { id: 'v' }, data: { notes: 'DbNull' } }));
    assert.deepEqual(await database.sql('SELECT notes IS NULL AS missing FROM "User"'), [{ missing: true }]);
  });

  test('lists of JSON stay what they are', async () => {
    const { stored, answered } = await wayThrough('extras', [json({ a: 1 }), json('x')], 'to_json(extras)');
    assert.deepEqual(stored, [{ a: 1 }, 'x']);
    assert.deepEqual(
      answered.map((text) => JSON.parse(text)),
      [{ a: 1 }, 'x'],
    );
    await engine.result(gql('updateOneUser', { where: { id: 'v' }, data: { extras: { push: [json(3)] } } }));
    assert.deepEqual(await database.sql('SELECT to_json(extras) AS extras FROM "User"'), [
      { extras: [{ a: 1 }, 'x', 3] },
    ]);
  });

  for (const [what, filter] of [
    ['equality', { equals: json({ a: { b: [1, 2] }, s: 'text' }) }],
    ['a path', { path: ['a', 'b'], array_contains: json([2]) }],
    ['a string at a path', { path: ['s'], string_contains: 'ex' }],
    ['a comparison at a path', { path: ['a', 'b', '0'], gte: json(1) }],
  ]) {
    test(`JSON is found by ${what}`, async () => {
      await addUsers('a', 'b');
      await database.sql(`UPDATE "User" SET settings = '{"a": {"b": [1, 2]}, "s": "text"}' WHERE id = 'a'`);
      assert.deepEqual(ids(await engine.result(gql('findManyUser', { where: { settings: filter } }))), ['a']);
      assert.deepEqual(
        ids(await engine.result(gql('findManyUser', { where: { NOT: [{ settings: filter }] } }))).includes('a'),
        false,
      );
    });
  }

  for (const value of [0n, -1n, 9007199254740993n, 9223372036854775807n, -9223372036854775808n]) {
    test(`the BigInt ${value} stays what it is`, async () => {
      assert.deepEqual(await wayThrough('visits', value), { stored: String(value), answered: String(value) });
      assert.deepEqual(ids(await engine.result(gql('findManyUser', { where: { visits: value } }))), ['v']);
    });
  }

  for (const value of ['0.1', '-12345678901234567890.123456789', '1e-10']) {
    test(`the Decimal ${value} stays what it is`, async () => {
      const { stored, answered } = await wayThrough('balance', value, `balance = ${value}::numeric`);
      assert.deepEqual([stored, Number(answered)], [true, Number(value)]);
      assert.deepEqual(ids(await engine.result(gql('findManyUser', { where: { balance: value } }))), ['v']);
    });
  }

  for (const value of [0.1, -1.5, 1e-7, 1e21, 123456789.1234568]) {
    test(`the Float ${value} stays what it is`, async () => {
      const { stored, answered } = await wayThrough('score', value, 'score');
      assert.deepEqual([stored, answered], [value, value]);
    });
  }

  test('bytes stay what they are', async () => {
    const bytes = Buffer.from([0, 1, 127, 128, 255]);
    const { stored, answered } = await wayThrough('avatar', bytes.toString('base64'), 'avatar');
    assert.deepEqual([stored, answered], [bytes, bytes.toString('base64')]);
  });

  test('lists of texts and numbers stay what they are, and can be searched', async () => {
    await engine.result(
      gql('createOneUser', { data: { id: 'v', email: 'v', tags: ['a', '', 'c,"{}'], numbers: [1, -2] } }),
    );
    const found = await engine.result(
      gql('findManyUser', { where: { tags: { has: 'c,"{}' }, numbers: { hasSome: [-2, 5] } } }, '{ tags numbers }'),
    );
    assert.deepEqual(found, [{ tags: ['a', '', 'c,"{}'], numbers: [1, -2] }]);
    assert.deepEqual(await database.sql('SELECT tags, numbers FROM "User"'), found);
    assert.deepEqual(await engine.result(gql('findManyUser', { where: { tags: { isEmpty: true } } })), []);
  });

  test('enums stay what they are', async () => {
    assert.deepEqual(await wayThrough('role', 'ADMIN'), { stored: 'ADMIN', answered: 'ADMIN' });
  });

  for (const zone of ['UTC', 'America/St_Johns', 'Asia/Kolkata']) {
    test(`instants stay what they are, with ${zone} as the time zone of the server`, async () => {
      await database.sql(`ALTER DATABASE ${new URL(database.url).pathname.slice(1)} SET TimeZone = '${zone}'`);
      const other = await EngineProcess.start(database.url);
      try {
        const at = '2024-02-29T23:30:00.123+05:30';
        const data = {
          id: 'v',
          email: 'v',
          created_at: at,
          seen_at: at,
          seen_often: [at],
          birthday: '2024-02-29T00:00:00Z',
        };
        const utc = '2024-02-29T18:00:00.123Z';
        const selection = '{ created_at seen_at seen_often birthday }';
        const expected = { created_at: utc, seen_at: utc, seen_often: [utc], birthday: '2024-02-29T00:00:00.000Z' };
        assert.deepEqual(await other.result(gql('createOneUser', { data }, selection)), expected);
        assert.deepEqual(await other.result(gql('findFirstUser', { where: { seen_at: at } }, selection)), expected);
        const [stored] = await database.sql(
          `SELECT created_at::text, seen_at = $1::timestamptz AS seen, seen_often = ARRAY[$1::timestamptz] AS often, birthday::text FROM "User"`,
          [at],
        );
        assert.deepEqual(stored, {
          created_at: '2024-02-29 18:00:00.123',
          seen: true,
          often: true,
          birthday: '2024-02-29',
        });
      } finally {
        await other.stop();
      }
    });
  }
});

describe('SQL', () => {
  for (const [expression, type, value] of [
    ['1::int4', 'int', 1],
    ['2::int2', 'int', 2],
    ['9007199254740993::int8', 'bigint', '9007199254740993'],
    ['1.5::float4', 'float', 1.5],
    ['100::float8', 'double', 100],
    ['1.50::numeric', 'decimal', '1.5'],
    ['true', 'bool', true],
    ["'x'::text", 'string', 'x'],
    ["'x'::varchar", 'string', 'x'],
    ["'x'::name", 'string', 'x'],
    [`'x'::"char"`, 'string', 'x'],
    [`'{"a": [1]}'::jsonb`, 'json', { a: [1] }],
    ["'00000000-0000-0000-0000-000000000001'::uuid", 'uuid', '00000000-0000-0000-0000-000000000001'],
    ["'\\x00ff'::bytea", 'bytes', 'AP8='],
    ["'2024-02-29'::date", 'date', '2024-02-29'],
    ["'12:34:56'::time", 'time', '12:34:56'],
    ["'2024-02-29 12:00:00.5'::timestamp", 'datetime', '2024-02-29T12:00:00.500+00:00'],
    ["'2024-02-29 12:00:00-03:30'::timestamptz", 'datetime', '2024-02-29T15:30:00+00:00'],
    ['ARRAY[1, 2]', 'int-array', [1, 2]],
    ["ARRAY['a', NULL]", 'string-array', ['a', null]],
    ["ARRAY['a']::name[]", 'string-array', ['a']],
    ['NULL::int4', 'int', null],
    [`'ADMIN'::"Role"`, 'string', 'ADMIN'],
    ['1::oid', 'bigint', '1'],
  ]) {
    test(`a column ${expression} is ${type} ${JSON.stringify(value)}`, async () => {
      assert.deepEqual(await engine.queryRaw(`SELECT ${expression} AS x`), {
        columns: ['x'],
        types: [type],
        rows: [[value]],
      });
    });
  }

  for (const [expression, type] of [
    ['pg_sleep(0)', 'void'],
    ["'1 day'::interval", 'interval'],
    ["'pg_class'::regclass", 'regclass'],
    ["'(1,2)'::point", 'point'],
  ]) {
    test(`a column of type ${type} is refused as the binary does, and can be cast`, async () => {
      const { error_code, meta } = await engine.error(raw('queryRaw', `SELECT ${expression}`, []));
      assert.equal(error_code, 'P2010');
      assert.match(meta.message, new RegExp(`^Failed to deserialize column of type '${type}'`));
      assert.equal((await engine.queryRaw(`SELECT ${expression}::text`)).rows.length, 1);
    });
  }

  test('parameters of each kind arrive as what they are', async () => {
    const sql =
      'SELECT $1::text AS t, $2::int AS i, $3::float8 AS f, $4::bool AS b, $5::jsonb AS j, $6::text[] AS a, $7::timestamptz AS z, $8::int AS n, $9::bigint AS l';
    const at = '2024-02-29T12:00:00.000Z';
    const { rows } = await engine.queryRaw(
      sql,
      "it's",
      5,
      1.5,
      true,
      { k: [1] },
      ['x', 'y'],
      at,
      null,
      9007199254740991,
    );
    assert.deepEqual(rows, [
      ["it's", 5, 1.5, true, { k: [1] }, ['x', 'y'], '2024-02-29T12:00:00+00:00', null, '9007199254740991'],
    ]);
  });

  test('a float column without a fraction keeps its point on the wire', async () => {
    const { text } = await engine.request(
      'POST',
      '/',
      JSON.stringify({ query: raw('queryRaw', 'SELECT 100::float8 AS x', []) }),
    );
    assert.match(text, /"rows":\[\[100\.0\]\]/);
  });

  test('no rows still have columns', async () => {
    const { columns, rows } = await engine.queryRaw('SELECT id FROM "User"');
    assert.deepEqual({ columns, rows }, { columns: ['id'], rows: [] });
  });

  test('executeRaw tells how many rows it changed, with void and without', async () => {
    await addUsers('a', 'b');
    assert.equal(await engine.result(raw('executeRaw', 'UPDATE "User" SET name = $1', ['x'])), 2);
    assert.equal(await engine.result(raw('executeRaw', 'SELECT pg_advisory_xact_lock(1)', [])), 1);
    assert.equal(await engine.result(raw('executeRaw', 'CREATE TABLE IF NOT EXISTS "Other" (id int)', [])), 0);
  });

  test('an error of PostgreSQL comes with its own code and words, and the connection lives on', async () => {
    const pids = new Set();
    for (let time = 0; time < 5; time++) {
      const { error_code, meta } = await engine.error(raw('queryRaw', 'SELECT 1 / 0', []));
      assert.deepEqual({ error_code, code: meta.code }, { error_code: 'P2010', code: '22012' });
      assert.match(meta.message, /division by zero/);
      pids.add((await engine.queryRaw('SELECT pg_backend_pid()')).rows[0][0]);
    }
    assert.equal(pids.size, 1);
  });

  test('a missing table is P2021 for a model and a code of PostgreSQL for SQL', async () => {
    await database.sql('ALTER TABLE "Profile" RENAME TO "Gone"');
    try {
      assert.equal((await engine.error('query { result: findManyProfile { id } }')).error_code, 'P2021');
      assert.equal((await engine.error(raw('queryRaw', 'SELECT * FROM "Profile"', []))).meta.code, '42P01');
    } finally {
      await database.sql('ALTER TABLE "Gone" RENAME TO "Profile"');
    }
  });

  test('the wrong number of parameters is an error', async () => {
    const { error_code } = await engine.error(raw('queryRaw', 'SELECT $1::int, $2::int', [1]));
    assert.equal(error_code, 'P2010');
  });
});
