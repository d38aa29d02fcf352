"""Is everything waited for that a gateway writes, and is what never comes said?"""

from dataclasses import dataclass, field

import pytest

from perfgate.experiment import ledger
from perfgate.experiment.ledger import DatabaseLedger
from perfgate.stack.database import DatabaseFailed, SpendRows

KEY = "sk-virtual"


@dataclass
class FakeBooks:
    """Has one more row, and the key its spend, each time that it is asked, until there are `most`."""

    most: int
    rows: int = 10
    key_spend_usd_of_row: float = 0.25
    open_connections: list[int] = field(default_factory=lambda: [1])
    is_down: bool = False
    asked: list[str] = field(default_factory=list)

    def spend_rows(self, api_key: str) -> SpendRows:
        self.asked.append(api_key)
        found = SpendRows(self.rows, self.rows * 0.25)
        self.rows = min(self.rows + 1, self.most)
        return found

    def key_spend_usd(self, api_key: str) -> float:
        self.asked.append(api_key)
        return self.rows * self.key_spend_usd_of_row

    def connections(self) -> int:
        if self.is_down:
            raise DatabaseFailed("it does not answer")
        return self.open_connections.pop(0) if len(self.open_connections) > 1 else self.open_connections[0]


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "POLL_S", 0)


def test_what_was_there_before_does_not_count() -> None:
    books = FakeBooks(most=10)
    of_key = DatabaseLedger(books, KEY, connections_allowed=20)
    of_key.open()
    books.most = 15
    use = of_key.close(5)
    assert (use.requests, use.rows, use.rows_spend_usd, use.key_spend_usd) == (5, 5, 1.25, 1.25)
    assert use.connections_allowed == 20
    assert set(books.asked) == {KEY}


def test_rows_that_never_come_are_missing_when_time_is_up() -> None:
    books = FakeBooks(most=10)
    of_key = DatabaseLedger(books, KEY, connections_allowed=20, deadline_s=0.01)
    of_key.open()
    books.most = 13
    use = of_key.close(5)
    assert use.rows < 5
    assert use.waited_s >= 0.01


def test_the_spend_of_the_key_is_waited_for_too() -> None:
    books = FakeBooks(most=10, key_spend_usd_of_row=0.0)
    of_key = DatabaseLedger(books, KEY, connections_allowed=20, deadline_s=0.01)
    of_key.open()
    books.most = 15
    use = of_key.close(5)
    assert (use.rows, use.rows_spend_usd, use.key_spend_usd) == (5, 1.25, 0.0)


def test_the_most_connections_count() -> None:
    books = FakeBooks(most=10, open_connections=[9])
    of_key = DatabaseLedger(books, KEY, connections_allowed=20)
    of_key.open()
    assert of_key.close(0).connections_max == 9


def test_a_database_that_is_down_while_connections_are_counted_does_not_end_the_load() -> None:
    of_key = DatabaseLedger(FakeBooks(most=10, is_down=True), KEY, connections_allowed=20)
    of_key.open()
    assert of_key.close(0).connections_max == 0
