"""Is every record counted once for what became of it, and is the memory bounded?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from log_sink.counts import MAX_HOSTS, OTHER_HOSTS, Counts, Records, RequestCounts, Tally


def test_a_record_is_new_or_a_duplicate_or_names_no_request() -> None:
    records = Records(ids_at_most=10)
    records.received(["a", "b", None])
    records.received(["b", "c", "b"])
    assert records.value().received == Tally(records=6, distinct_ids=3, duplicates=2, without_id=1, beyond_limit=0)
    assert records.ids() == {"received": {"a": 1, "b": 3, "c": 1}, "accepted": {}}


def test_what_was_received_but_not_accepted_is_told_apart() -> None:
    records = Records(ids_at_most=10)
    records.received(["a", "b", "c", "d", "e", "f"])
    records.accepted(["a", "b"])
    records.refused(1)
    records.unanswered(2)
    counts = records.value()
    assert (counts.received.records, counts.accepted.records) == (6, 2)
    assert (counts.refused, counts.unanswered, counts.in_service) == (1, 2, 1)
    assert records.ids()["accepted"] == {"a": 1, "b": 1}


def test_ids_beyond_the_limit_are_counted_and_known_ones_are_still_recognised() -> None:
    records = Records(ids_at_most=2)
    records.received(["a", "b", "c", "c", "a"])
    assert records.value().received == Tally(records=5, distinct_ids=2, duplicates=1, without_id=0, beyond_limit=2)
    assert records.ids()["received"] == {"a": 2, "b": 1}


@given(st.lists(st.none() | st.sampled_from("abcdef")), st.integers(1, 7))
def test_every_record_is_in_one_place(ids: list[str | None], ids_at_most: int) -> None:
    records = Records(ids_at_most)
    records.received(ids)
    tally = records.value().received
    assert tally.records == len(ids)
    assert tally.records == tally.distinct_ids + tally.duplicates + tally.without_id + tally.beyond_limit
    assert tally.distinct_ids == min(ids_at_most, len({*ids} - {None}))


def test_requests_are_counted_by_path_and_by_what_became_of_them() -> None:
    counts = Counts(ids_at_most=1)
    for body_bytes in (10, 20, 30, 40):
        counts.received("/webhook", body_bytes)
    counts.answered("/webhook", 200)
    counts.answered("/webhook", 200)
    counts.answered("/webhook", 429)
    counts.unanswered("/webhook")
    counts.received("/token", 5)
    counts.unreadable()
    counts.handshake_failed()
    counts.handshake_failed()
    value = counts.value()
    assert value.requests == {
        "/webhook": RequestCounts(received=4, answered={200: 2, 429: 1}, unanswered=1),
        "/token": RequestCounts(received=1, answered={}, unanswered=0),
    }
    assert (value.received_bytes, value.unreadable_requests, value.failed_handshakes) == (105, 1, 2)


def test_hosts_beyond_the_limit_are_counted_together() -> None:
    counts = Counts(ids_at_most=1)
    for number in range(MAX_HOSTS + 3):
        counts.refused_host(f"host{number}.example")
    counts.refused_host("host0.example")
    counts.proxied("storage.googleapis.com")
    value = counts.value()
    assert (value.refused_hosts["host0.example"], value.refused_hosts[OTHER_HOSTS]) == (2, 3)
    assert len(value.refused_hosts) == MAX_HOSTS + 1
    assert value.proxied == {"storage.googleapis.com": 1}


@pytest.mark.parametrize("later", [["a"], ["b"]])
def test_a_value_is_not_changed_by_what_comes_later(later: list[str]) -> None:
    counts = Counts(ids_at_most=5)
    counts.received("/webhook", 1)
    counts.records["webhook"].received(["a"])
    before = counts.value()
    as_it_was = repr(before)
    counts.answered("/webhook", 200)
    counts.records["webhook"].received(later)
    assert repr(before) == as_it_was
