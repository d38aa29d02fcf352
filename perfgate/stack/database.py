"""What did a gateway write into its PostgreSQL database?

Comes in: the database's URL and a virtual key. Goes out: counts and sums of LiteLLM's own tables, and connections in
use. Every question opens a connection of its own, so that an outage between two of them does no harm.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from perfgate.errors import StackFailed

#: PostgreSQL answers within milliseconds; the rest is for hosts that are badly overloaded.
CONNECT_TIMEOUT_S: Final = 10
#: By which our own connections are told from the gateway's: rows are counted while connections are.
APPLICATION_NAME: Final = "perfgate"


class DatabaseFailed(StackFailed):
    """A database does not answer a question, or has no answer to it."""


@dataclass(frozen=True, slots=True)
class SpendRows:
    """Rows of the spend log that belong to one key.

    Args:
        rows: how many.
        spend_usd: their spend, added up exactly and then rounded once.
    """

    rows: int
    spend_usd: float


@dataclass(frozen=True, slots=True)
class Database:
    """A database that LiteLLM has made its tables in: `Database(url).spend_rows("sk-…").rows`.

    Args:
        url: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`.
    """

    url: str = field(repr=False)

    def spend_rows(self, api_key: str) -> SpendRows:
        """The rows of a key so far: one for each request, once LiteLLM has written its batch.

        Raises:
            DatabaseFailed: it does not answer, or has no such table.
        """
        asked = 'SELECT count(*), coalesce(sum(spend::numeric), 0)::float8 FROM "LiteLLM_SpendLogs" WHERE api_key = %s'
        ((rows, spend_usd),) = self._answer(asked, hash_of_key(api_key))
        return SpendRows(rows, spend_usd)

    def rows_by_request_id(self, api_key: str) -> Mapping[str, int]:
        """How many rows of a key each request id has; errors are those of `spend_rows`."""
        asked = 'SELECT request_id, count(*) FROM "LiteLLM_SpendLogs" WHERE api_key = %s GROUP BY request_id'
        return dict(self._answer(asked, hash_of_key(api_key)))

    def key_spend_usd(self, api_key: str) -> float:
        """What LiteLLM has added up as the spend of a key.

        Raises:
            DatabaseFailed: it does not answer, has no such table, or does not know the key.
        """
        found = self._answer('SELECT spend FROM "LiteLLM_VerificationToken" WHERE token = %s', hash_of_key(api_key))
        if not found:
            raise DatabaseFailed("the database knows no such virtual key: it was made by another gateway, or deleted")
        return float(found[0][0])

    def connections(self) -> int:
        """How many connections to this database are open, but for perfgate's own.

        Raises:
            DatabaseFailed: it does not answer.
        """
        asked = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_type = 'client backend' AND application_name <> %s"
        )
        return int(self._answer(asked, APPLICATION_NAME)[0][0])

    def _answer(self, query: str, *parameters: str) -> Sequence[tuple[Any, ...]]:
        try:
            with psycopg.connect(
                self.url, connect_timeout=CONNECT_TIMEOUT_S, autocommit=True, application_name=APPLICATION_NAME
            ) as connection:
                return connection.execute(query.encode(), parameters).fetchall()
        except psycopg.errors.UndefinedTable as error:
            raise DatabaseFailed(f"{in_words(error)}: LiteLLM has not made its tables in this database") from error
        except psycopg.Error as error:
            raise DatabaseFailed(f"the database does not answer a question: {in_words(error)}") from error


def hash_of_key(api_key: str) -> str:
    """What LiteLLM keeps instead of a key."""
    return hashlib.sha256(api_key.encode()).hexdigest()


def in_words(error: psycopg.Error) -> str:
    """An error of psycopg in one line.

    >>> in_words(psycopg.Error("connection failed:\\n  refused"))
    'connection failed: refused'
    """
    return " ".join((error.diag.message_primary or str(error)).split())
