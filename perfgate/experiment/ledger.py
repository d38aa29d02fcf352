"""What did a gateway write into its database for one window?

Comes in: its database, the virtual key that is asked with, how many requests were sent. Goes out: a `LedgerUse`. Waits
until everything is written, but not for ever: what is not there then is missing.
"""

import threading
import time
from dataclasses import dataclass, field
from typing import Final, Protocol

from perfgate.experiment.measurement import LedgerUse
from perfgate.stack.database import DatabaseFailed, SpendRows

#: For rows and spend after a load, many times what a gateway takes that writes every `arms.DATABASE_FLUSH_S`.
DEADLINE_S: Final = 30.0
#: Between two looks at what is written.
POLL_S: Final = 0.2
#: Between two looks at connections: pools keep theirs open, so that few looks see the most.
CONNECTIONS_POLL_S: Final = 0.5


class Books(Protocol):
    """What can be asked of a gateway's database: stack/database.py's `Database`, or a fake in a test."""

    def spend_rows(self, api_key: str) -> SpendRows:
        """The key's rows of the spend log so far."""

    def key_spend_usd(self, api_key: str) -> float:
        """The key's own spend so far."""

    def connections(self) -> int:
        """Connections that are open now."""


@dataclass(slots=True)
class DatabaseLedger:
    """The ledger of one gateway: `ledger.open()`, then the load, then `ledger.close(requests)`.

    Args:
        books: its database.
        api_key: that all requests are sent with.
        connections_allowed: pool limit × workers × instances.
        deadline_s: how long `close` waits.
    """

    books: Books
    api_key: str = field(repr=False)
    connections_allowed: int
    deadline_s: float = DEADLINE_S
    _watch: "_Connections | None" = None
    _rows: SpendRows = SpendRows(0, 0.0)  # noqa: RUF009 (a frozen value)
    _key_spend_usd: float = 0.0

    def open(self) -> None:
        """Note what there is, and begin to count connections.

        Raises:
            DatabaseFailed: the database does not answer.
        """
        self._rows = self.books.spend_rows(self.api_key)
        self._key_spend_usd = self.books.key_spend_usd(self.api_key)
        self._watch = _Connections(self.books)
        self._watch.start()

    def close(self, requests: int) -> LedgerUse:
        """Wait until so many rows have come and the key's spend has grown by theirs, or time is up.

        Args:
            requests: sent since `open`.

        Raises:
            DatabaseFailed: the database does not answer.
        """
        assert self._watch is not None, "open comes first"
        started_mono_s = time.monotonic()
        while True:
            found = self.books.spend_rows(self.api_key)
            rows, spend_usd = found.rows - self._rows.rows, found.spend_usd - self._rows.spend_usd
            key_spend_usd = self.books.key_spend_usd(self.api_key) - self._key_spend_usd
            waited_s = time.monotonic() - started_mono_s
            if (rows >= requests and key_spend_usd >= spend_usd) or waited_s >= self.deadline_s:
                break
            time.sleep(POLL_S)
        return LedgerUse(
            requests, rows, spend_usd, key_spend_usd, waited_s, self._watch.stop(), self.connections_allowed
        )


class _Connections(threading.Thread):
    """Keeps the most connections that it has seen."""

    def __init__(self, books: Books) -> None:
        super().__init__(name="connections", daemon=True)
        self._books = books
        self._most = 0
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(CONNECTIONS_POLL_S):
            self._look()

    def stop(self) -> int:
        """Look once more, and end."""
        self._ended.set()
        self.join()
        self._look()
        return self._most

    def _look(self) -> None:
        try:
            self._most = max(self._most, self._books.connections())
        except DatabaseFailed:
            pass  # whoever counts rows meets the same, and says so
