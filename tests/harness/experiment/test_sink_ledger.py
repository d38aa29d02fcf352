"""Is every record waited for that a callback sends, and is what never comes said?"""

from dataclasses import dataclass, replace

import pytest

from log_sink.counts import FormatCounts, SinkCounts, Tally
from perfgate.experiment import sink_ledger
from perfgate.experiment.sink_ledger import SinkLedger

NONE = Tally(0, 0, 0, 0, 0)


@dataclass
class FakeSink:
    """Has accepted one more record each time that it is asked, until there are `most`, of which `repeated` twice."""

    most: int
    records: int = 10
    repeated: int = 0
    of_others: int = 0
    asked: int = 0

    def counts(self) -> SinkCounts:
        self.asked += 1
        accepted = replace(NONE, records=self.records, distinct_ids=self.records - self.repeated)
        of_others = replace(NONE, records=self.of_others, distinct_ids=self.of_others)
        self.records = min(self.records + 1, self.most)
        # What was received and refused is not logged.
        received = replace(accepted, records=accepted.records + 1000, distinct_ids=accepted.records + 1000)
        records = {
            "langsmith": FormatCounts(received, accepted, 1000, 0, 0),
            "gcs": FormatCounts(of_others, of_others, 0, 0, 0),
            "webhook": FormatCounts(NONE, NONE, 0, 0, 0),
        }
        return SinkCounts(records, {}, 0, 0, {}, {}, 0)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_ledger, "POLL_S", 0)


def test_what_was_there_before_does_not_count() -> None:
    sink = FakeSink(most=10)
    ledger = SinkLedger(sink, "langsmith", flush_s=100)
    ledger.open()
    sink.most = 15
    use = ledger.close(5)
    assert (use.requests, use.records, use.distinct) == (5, 5, 5)


def test_records_that_never_come_are_missing_once_it_has_been_quiet() -> None:
    sink = FakeSink(most=10)
    ledger = SinkLedger(sink, "langsmith", flush_s=0.01)
    ledger.open()
    sink.most = 13
    use = ledger.close(5, quiet_s=0.01)
    assert (use.records, use.distinct) == (3, 3)
    assert use.waited_s >= 0.02


def test_it_waits_as_long_as_records_come() -> None:
    sink = FakeSink(most=10)
    ledger = SinkLedger(sink, "langsmith", flush_s=0.05)
    ledger.open()
    sink.most = 1000
    assert ledger.close(500, quiet_s=0).records == 500


def test_it_does_not_wait_for_ever() -> None:
    sink = FakeSink(most=10)
    ledger = SinkLedger(sink, "langsmith", flush_s=100, deadline_s=0.01)
    ledger.open()
    sink.most = 12
    assert ledger.close(5).records < 5


def test_a_record_that_comes_again_is_waited_for_by_nobody_and_stands_for_no_other() -> None:
    sink = FakeSink(most=10)
    ledger = SinkLedger(sink, "langsmith", flush_s=100)
    ledger.open()
    sink.most, sink.repeated = 100, 2
    use = ledger.close(5)
    assert (use.records, use.distinct) == (7, 5)


def test_records_of_another_format_are_those_of_another_callback() -> None:
    sink = FakeSink(most=10)
    ledger = SinkLedger(sink, "gcs", flush_s=0.01)
    ledger.open()
    sink.most = 100
    assert ledger.close(5, quiet_s=0.01).records == 0
