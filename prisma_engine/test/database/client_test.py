"""Does prisma-client-py, which is the client that LiteLLM uses, get from the engine what it expects?

Needs the client that was generated for schema.prisma on its path, DATABASE_URL with tables.sql in it, and the variables
that name the engine. Run by tests/harness/stack/test_prisma_engine.py, in an environment that has prisma-client-py.
"""

# Run without pytest, which that environment does not have. Names are claims.
# ruff: noqa: D101, D102, PT009, PT027

import asyncio
import os
import unittest
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from prisma import Base64, Json, Prisma, errors
from prisma.models import Post, User

ZONE = timezone(timedelta(hours=5, minutes=30))
AT = datetime(2024, 2, 29, 23, 30, 0, 123000, tzinfo=ZONE)


class ClientTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.db = Prisma()
        await self.db.connect()
        await self.db.execute_raw('TRUNCATE "User" RESTART IDENTITY CASCADE')

    async def asyncTearDown(self):
        await self.db.disconnect()

    async def add(self, *names):
        await self.db.user.create_many(data=[{"id": name, "email": f"{name}@x"} for name in names])

    async def ids(self, **query):
        return [user.id for user in await self.db.user.find_many(order={"id": "asc"}, **query)]


class Values(ClientTest):
    async def test_every_kind_of_field_comes_back_as_what_it_went_in(self):
        values = {
            "email": "a@x",
            "name": 'quote " and backslash \\ and 日本',
            "role": "ADMIN",
            "visits": 2**62,
            "score": 100.0,
            "balance": Decimal("12345678901234567890.123456789"),
            "active": False,
            "tags": ["a", 'b"'],
            "numbers": [1, -2],
        }
        json_value = {"a": [1, 2.5, None, True, {"b": 'x"\\\n'}], "empty": {}}
        created = await self.db.user.create(
            data={
                **values,
                "settings": Json(json_value),
                "extras": [Json({"n": 1}), Json("text")],
                "avatar": Base64.encode(b"\x00\xff"),
                "created_at": AT,
                "seen_at": AT,
                "seen_often": [AT, AT + timedelta(days=1)],
                "birthday": datetime(2024, 2, 29, tzinfo=UTC),
            }
        )
        for user in (created, await self.db.user.find_unique_or_raise(where={"email": "a@x"})):
            self.assertEqual({name: getattr(user, name) for name in values}, values)
            self.assertIs(type(user.score), float)
            self.assertEqual(user.settings, json_value)
            self.assertEqual(user.extras, [{"n": 1}, "text"])
            self.assertEqual(user.avatar.decode(), b"\x00\xff")
            self.assertEqual((user.created_at, user.seen_at), (AT, AT))
            self.assertEqual(user.seen_often, [AT, AT + timedelta(days=1)])
            self.assertEqual(user.birthday, datetime(2024, 2, 29, tzinfo=UTC))
            self.assertIsNone(user.notes)

    async def test_records_are_found_by_each_kind_of_field(self):
        await self.db.user.create(
            data={
                "id": "a",
                "email": "a",
                "visits": 2**62,
                "balance": Decimal("0.1"),
                "settings": Json({"k": 1}),
                "seen_at": AT,
            }
        )
        await self.add("b")
        for where in (
            {"visits": 2**62},
            {"balance": Decimal("0.1")},
            {"settings": {"equals": Json({"k": 1})}},
            {"seen_at": AT},
            {"seen_at": {"gt": AT - timedelta(milliseconds=1), "lt": AT + timedelta(milliseconds=1)}},
            {"NOT": [{"id": "b"}]},
        ):
            self.assertEqual(await self.ids(where=where), ["a"], where)


class Actions(ClientTest):
    async def test_find_many_pages_in_order_and_includes(self):
        await self.add("a", "b", "c")
        await self.db.post.create_many(data=[{"title": title, "author_id": "b"} for title in ("one", "two")])
        found = await self.db.user.find_many(
            order={"id": "desc"},
            skip=1,
            take=1,
            include={"posts": {"order_by": {"title": "desc"}, "include": {"author": True}}},
        )
        self.assertEqual([(post.title, post.author.id) for post in found[0].posts], [("two", "b"), ("one", "b")])

    async def test_count_and_group_by(self):
        await self.add("a", "b")
        self.assertEqual(await self.db.user.count(where={"id": "a"}), 1)
        groups = await self.db.user.group_by(by=["role"], count=True, sum={"visits": True}, order={"role": "asc"})
        self.assertEqual([(group["role"], group["_count"]["_all"]) for group in groups], [("USER", 2)])

    async def test_create_many_skips_duplicates(self):
        await self.add("a")
        data = [{"id": "a", "email": "a@x"}, {"id": "b", "email": "b@x"}]
        self.assertEqual(await self.db.user.create_many(data=data, skip_duplicates=True), 1)
        with self.assertRaises(errors.UniqueViolationError):
            await self.db.user.create_many(data=data)

    async def test_update_upsert_and_delete(self):
        await self.add("a")
        data = {
            "create": {"id": "a", "email": "a@x"},
            "update": {"visits": {"increment": 2}, "settings": Json({"u": 1})},
        }
        self.assertEqual((await self.db.user.upsert(where={"id": "a"}, data=data)).visits, 2)
        updated = await self.db.user.update(
            where={"id": "a"}, data={"name": None, "profile": {"create": {"bio": Json("x")}}}
        )
        self.assertEqual((updated.settings, updated.name), ({"u": 1}, None))
        self.assertEqual((await self.db.profile.find_first()).bio, "x")
        self.assertEqual(await self.db.user.update_many(where={}, data={"active": False}), 1)
        self.assertEqual((await self.db.user.delete(where={"id": "a"})).id, "a")
        self.assertEqual(await self.db.user.delete_many(), 0)

    async def test_what_is_not_there_is_none(self):
        self.assertIsNone(await self.db.user.find_unique(where={"id": "x"}))
        self.assertIsNone(await self.db.user.update(where={"id": "x"}, data={"name": "x"}))
        self.assertIsNone(await self.db.user.delete(where={"id": "x"}))
        with self.assertRaises(errors.RecordNotFoundError):
            await self.db.user.find_unique_or_raise(where={"id": "x"})

    async def test_errors_have_their_own_classes(self):
        await self.add("a")
        with self.assertRaises(errors.UniqueViolationError):
            await self.add("a")
        with self.assertRaises(errors.ForeignKeyViolationError):
            await self.db.post.create(data={"title": "x", "author_id": "nobody"})
        with self.assertRaises(errors.MissingRequiredValueError):
            await self.db.user.create(data={"id": "b"})
        with self.assertRaises(errors.FieldNotFoundError):
            await self.db.user.create(data={"id": "b", "email": "b", "nothing": 1})


class Sql(ClientTest):
    async def test_rows_have_the_types_of_python(self):
        (row,) = await self.db.query_raw(
            "SELECT 1::int AS i, 2::bigint AS l, 100::float8 AS f, 1.5::numeric AS d, '{\"a\": [1]}'::jsonb AS j, "
            "$1::text AS t, ARRAY['x'] AS a, NULL AS n, $2::timestamptz AS z",
            "it's",
            AT,
        )
        at = AT.astimezone(UTC).isoformat(timespec="milliseconds")
        expected = {"i": 1, "l": 2, "f": 100.0, "d": 1.5, "j": {"a": [1]}, "t": "it's", "a": ["x"], "n": None, "z": at}
        self.assertEqual(row, expected)
        self.assertIs(type(row["f"]), float)

    async def test_rows_become_models(self):
        await self.add("a")
        await self.db.post.create(data={"title": "t", "author_id": "a", "data": Json({"k": "v"})})
        post = await self.db.query_first('SELECT * FROM "Post" WHERE title = $1', "t", model=Post)
        self.assertEqual((post.title, post.data), ("t", {"k": "v"}))
        (user,) = await self.db.query_raw('SELECT * FROM "User"', model=User)
        self.assertEqual(user.settings, {})

    async def test_changed_rows_are_counted(self):
        await self.add("a", "b")
        self.assertEqual(await self.db.execute_raw('UPDATE "User" SET name = $1', "x"), 2)

    async def test_errors_hold_the_code_of_postgresql(self):
        with self.assertRaises(errors.RawQueryError) as caught:
            await self.db.query_raw("SELECT 1 / 0")
        self.assertEqual(caught.exception.meta["code"], "22012")


class Transactions(ClientTest):
    async def test_a_batch_happens_wholly(self):
        async with self.db.batch_() as batch:
            batch.user.create(data={"id": "a", "email": "a", "settings": Json({"k": 1})})
            batch.user.upsert(
                where={"id": "a"},
                data={"create": {"email": "x"}, "update": {"visits": {"increment": 1}, "settings": Json({"k": 2})}},
            )
            batch.execute_raw('UPDATE "User" SET name = $1', "x")
        user = await self.db.user.find_first()
        self.assertEqual((user.visits, user.settings, user.name), (1, {"k": 2}, "x"))

    async def test_or_not_at_all(self):
        with self.assertRaises(errors.UniqueViolationError):
            async with self.db.batch_() as batch:
                batch.user.create(data={"id": "a", "email": "a"})
                batch.user.create(data={"id": "a", "email": "b"})
        self.assertEqual(await self.ids(), [])

    async def test_a_transaction_is_committed_with_the_batch_in_it(self):
        async with self.db.tx() as transaction:
            await transaction.user.create(data={"id": "a", "email": "a"})
            async with transaction.batch_() as batch:
                batch.user.create(data={"id": "b", "email": "b"})
            self.assertEqual(await self.ids(), [])
        self.assertEqual(await self.ids(), ["a", "b"])

    async def test_an_exception_rolls_it_back(self):
        with self.assertRaises(KeyError):
            async with self.db.tx() as transaction:
                await transaction.user.create(data={"id": "a", "email": "a"})
                raise KeyError
        self.assertEqual(await self.ids(), [])

    async def test_one_that_takes_too_long_says_so(self):
        transaction = await self.db.tx(timeout=timedelta(milliseconds=50)).start()
        with self.assertRaises(errors.TransactionExpiredError):
            while True:
                await transaction.user.count()
        self.assertEqual(await self.ids(), [])


class Engine(ClientTest):
    async def test_many_queries_at_once_get_their_own_answers(self):
        await self.add(*(f"{number:03}" for number in range(100)))
        found = await asyncio.gather(*(self.db.user.find_unique(where={"id": f"{number:03}"}) for number in range(100)))
        self.assertEqual([user.id for user in found], [f"{number:03}" for number in range(100)])

    async def test_metrics_can_be_read(self):
        metrics = await self.db.get_metrics(global_labels={"app": "x"})
        counts = {metric.key: metric.value for metric in metrics.counters}
        self.assertGreater(counts["prisma_client_queries_total"], 0)
        self.assertEqual(metrics.gauges[0].labels, {"app": "x"})
        self.assertIn("prisma_pool_connections_open 1", await self.db.get_metrics(format="prometheus"))

    async def test_a_datasource_of_its_own_is_used(self):
        other = Prisma(datasource={"url": os.environ["DATABASE_URL"] + "?application_name=other"})
        await other.connect()
        try:
            self.assertEqual(
                await other.query_raw("SELECT current_setting('application_name') AS name"), [{"name": "other"}]
            )
        finally:
            await other.disconnect()

    async def test_a_database_that_is_gone_is_no_error_of_data(self):
        other = Prisma(
            datasource={"url": os.environ["DATABASE_URL"].replace("@", "@127.0.0.1:1/")},
            connect_timeout=timedelta(seconds=1),
        )
        with self.assertRaises(errors.PrismaError):
            await other.connect()


if __name__ == "__main__":
    unittest.main()
