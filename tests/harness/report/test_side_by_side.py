"""Are two runs set against each other limit by limit, with all that speaks against it said first?"""

from perfgate.report.side_by_side import NOT_INTERLEAVED, pairings, warnings
from tests.harness import synthetic
from tests.harness.report.conftest import HOST, a_compared_judgement, a_judgement, a_record, two_arms

SLOWER = synthetic.measurement(gateway_ms=24)


def test_a_limit_of_both_runs_has_both_figures_and_the_change() -> None:
    runs = [
        a_record(judgements=[a_judgement("overhead", "overhead_p50_ms")]),
        a_record(judgements=[a_judgement("overhead", "overhead_p50_ms", SLOWER)]),
    ]
    (pairing,) = pairings(runs)
    assert (pairing.scenario, pairing.title) == ("overhead", "gateway overhead, p50")
    assert [row.observed for row in pairing.rows if row] == ["11 ms", "23 ms"]
    first, second = pairing.changes
    assert first == ""
    assert 105 < float(second.removesuffix(" %")) < 115


def test_a_limit_that_one_run_lacks_is_there_without_a_change() -> None:
    runs = [
        a_record(judgements=[a_judgement("overhead", "overhead_p50_ms")]),
        a_record(judgements=[a_judgement("latency", "latency_p95_ms")]),
    ]
    first, second = pairings(runs)
    assert first.rows[1] is None
    assert second.rows[0] is None
    assert first.changes == second.changes == ("", "")


def test_of_what_was_not_read_and_of_ratios_and_of_comparisons_no_change_is_said() -> None:
    unread = a_judgement("overhead", "overhead_p50_ms", synthetic.measurement(lag_ms=9))
    errors = a_judgement("overhead", "error_ratio", maximum=0.1)
    compared = a_compared_judgement("rss_mib", two_arms(1.0))
    runs = [a_record(judgements=[unread, errors, compared]), a_record(judgements=[unread, errors, compared])]
    assert {change for pairing in pairings(runs) for change in pairing.changes} == {""}


def test_one_run_has_no_warning_and_two_were_not_interleaved() -> None:
    assert warnings([a_record(host=HOST)]) == []
    assert warnings([a_record(host=HOST), a_record(host=HOST)]) == [NOT_INTERLEAVED]


def test_different_hosts_are_warned_of_with_what_differs() -> None:
    first, last = warnings([a_record(host=HOST), a_record(host={**HOST, "cores_allowed": 4})])
    assert first == ("runs 1 and 2 are of different hosts, their figures can't be compared: cores allowed: 2 and 4")
    assert last == NOT_INTERLEAVED


def test_each_run_is_held_against_the_first() -> None:
    runs = [a_record(host=HOST), a_record(host=HOST, profile="gate"), a_record(host={**HOST, "kernel": "6.9"})]
    assert [sentence.split(":")[0] for sentence in warnings(runs)[:2]] == [
        "runs 1 and 2 differ",
        "runs 1 and 3 are of different hosts, their figures can't be compared",
    ]
