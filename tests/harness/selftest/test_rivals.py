"""Does each rule of others say what its source says, at its boundary and on both sides, and how often does it err?"""

import pickle
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_benchmark.utils import parse_compare_fail
from scipy.stats import mannwhitneyu

from perfgate.selftest.rivals import (
    RIVALS,
    Process,
    Rival,
    Window,
    benchstat,
    benchstat_p,
    litellm_callback_test,
    mann_whitney_over_requests,
    mean_latency,
    pytest_benchmark_mean,
    runs_of,
)

each_rival = pytest.mark.parametrize("rival", RIVALS, ids=[f"{rival.name}, {rival.data}" for rival in RIVALS])


def timed(*seconds_a_request: float) -> list[Window]:
    """A process with one window for each of these times a request: 20 requests, one after the other."""
    return [Window(np.full(20, 1000.0 * seconds), 1 / seconds) for seconds in seconds_a_request]


def requests(*latencies_ms: float) -> list[Window]:
    """A process with one window of these requests, one after the other."""
    return [Window(np.array(latencies_ms, dtype=float), 1000 * len(latencies_ms) / sum(latencies_ms))]


def simulated(
    rng: np.random.Generator, *, between_processes: float, slowdown: float = 1.0, windows: int = 10, size: int = 120
) -> list[Window]:
    """A process that differs from others of its version for as long as it lives; its requests are independent."""
    of_this_process_ms = 10.0 * slowdown * np.exp(rng.normal(0.0, between_processes))
    latencies_ms = of_this_process_ms * np.exp(rng.normal(0.0, 0.2, (windows, size)))
    return [Window(row, 1000.0 / float(row.mean())) for row in latencies_ms]


def share_of_fails(
    rule: Callable[[Sequence[Process], Sequence[Process]], bool],
    *,
    between_processes: float,
    slowdown: float = 1.0,
    processes: int = 1,
    trials: int = 300,
) -> float:
    rng = np.random.default_rng(20)
    fails = 0
    for _ in range(trials):
        baseline = [simulated(rng, between_processes=between_processes) for _ in range(processes)]
        candidate = [simulated(rng, between_processes=between_processes, slowdown=slowdown) for _ in range(processes)]
        fails += rule(baseline, candidate)
    return fails / trials


def the_rival(name: str, data: str) -> Rival:
    (found,) = [one for one in RIVALS if one.name.startswith(name) and one.data == data]
    return found


# All rules


def test_a_table_can_tell_all_rules_apart_and_says_where_each_is_written_down() -> None:
    assert len({(one.name, one.data) for one in RIVALS}) == len(RIVALS)
    assert all(one.source for one in RIVALS)


@each_rival
def test_equal_data_never_fails(rival: Rival) -> None:
    rng = np.random.default_rng(1)
    same = [simulated(rng, between_processes=0.02) for _ in range(4)]
    assert not rival.is_broken(same, same)
    constant = [timed(*[0.01] * 10)] * 4
    assert not rival.is_broken(constant, constant)


@each_rival
def test_half_as_slow_again_fails_everywhere(rival: Rival) -> None:
    rng = np.random.default_rng(2)
    baseline = [simulated(rng, between_processes=0.02) for _ in range(4)]
    candidate = [simulated(rng, between_processes=0.02, slowdown=1.5) for _ in range(4)]
    assert rival.is_broken(baseline, candidate)


@each_rival
def test_a_third_faster_fails_by_litellms_rule_alone(rival: Rival) -> None:
    rng = np.random.default_rng(3)
    baseline = [simulated(rng, between_processes=0.02) for _ in range(4)]
    candidate = [simulated(rng, between_processes=0.02, slowdown=0.67) for _ in range(4)]
    assert rival.is_broken(baseline, candidate) == rival.name.startswith("LiteLLM")


@each_rival
def test_one_process_each_is_the_first_and_all_are_all(rival: Rival) -> None:
    rng = np.random.default_rng(4)
    like_the_first = [simulated(rng, between_processes=0.0)] * 6
    slow_later = [like_the_first[0], *(simulated(rng, between_processes=0.0, slowdown=2.0) for _ in range(5))]
    assert rival.is_broken(like_the_first, slow_later) == (rival.data == "all processes")


@each_rival
def test_a_rule_can_be_sent_to_a_worker_process(rival: Rival) -> None:
    sent = pickle.loads(pickle.dumps(rival))
    assert sent.is_broken([timed(*[1.0] * 10)] * 4, [timed(*[1.5] * 10)] * 4) in (True, False)
    assert (sent.name, sent.data) == (rival.name, rival.data)


@each_rival
@pytest.mark.parametrize(
    ("baseline", "candidate", "message"),
    [
        ([], [timed(1.0)], r"baseline has processes of \[\] windows; it must have one, and none without windows"),
        ([timed(1.0)], [[]], r"candidate has processes of \[0\] windows; it must have one, and none without windows"),
    ],
)
def test_without_windows_nothing_is_said(
    rival: Rival, baseline: list[Process], candidate: list[Process], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        rival.is_broken(baseline, candidate)


# LiteLLM's callback test


@pytest.mark.parametrize(
    ("candidate_s", "fails"),
    [(10.99, False), (11.0, True), (11.01, True), (9.01, False), (9.0, True), (8.99, True)],
)
def test_litellms_rule_fails_from_10_percent_on_in_either_direction(candidate_s: float, fails: bool) -> None:
    assert litellm_callback_test([timed(10.0, 10.0, 10.0)], [timed(*[candidate_s] * 3)]) == fails


def test_litellms_rule_takes_the_mean_of_three_runs() -> None:
    baseline = [timed(10.0, 10.0, 10.0)]
    assert not litellm_callback_test(baseline, [timed(10.0, 12.9, 10.0)])  # 0, 29 and 0 %
    assert litellm_callback_test(baseline, [timed(10.0, 13.1, 10.0)])  # 0, 31 and 0 %
    # With two windows a run, one that is slower by 60 % makes its run slower by 30 %.
    assert not litellm_callback_test([timed(*[10.0] * 6)], [timed(10.0, 10.0, 10.0, 15.8, 10.0, 10.0)])
    assert litellm_callback_test([timed(*[10.0] * 6)], [timed(10.0, 10.0, 10.0, 16.2, 10.0, 10.0)])


def test_litellms_rule_drops_the_sign_before_it_takes_the_mean() -> None:
    assert litellm_callback_test([timed(10.0, 10.0, 10.0)], [timed(11.1, 8.9, 11.1)])


def test_litellms_rule_weighs_windows_by_their_requests() -> None:
    long, short = Window(np.full(30, 10.0), 100.0), Window(np.full(10, 20.0), 50.0)
    # 30 requests in 0.3 s and 10 in 0.2 s are 12.5 ms a request; the mean of the windows would be 15 ms.
    mixed = [long, short] * 3
    assert not litellm_callback_test([timed(*[0.0125] * 6)], [mixed])
    assert litellm_callback_test([timed(*[0.015] * 6)], [mixed])


def test_litellms_rule_pairs_processes_by_their_place() -> None:
    slow, fast = timed(*[12.0] * 3), timed(*[10.0] * 3)
    assert not litellm_callback_test([slow, fast], [slow, fast])
    assert litellm_callback_test([slow, fast], [fast, slow])


def test_litellms_rule_needs_as_many_processes_on_both_sides() -> None:
    message = "^baseline has 2 processes and candidate 1; their runs are compared in pairs$"
    with pytest.raises(ValueError, match=message):
        litellm_callback_test([timed(1.0, 1.0, 1.0)] * 2, [timed(1.0, 1.0, 1.0)])


# pytest-benchmark


@pytest.mark.parametrize(("candidate_s", "fails"), [(20.99, False), (21.0, False), (21.01, True), (10.0, False)])
def test_pytest_benchmarks_rule_fails_above_5_percent(candidate_s: float, fails: bool) -> None:
    assert pytest_benchmark_mean([timed(20.0, 20.0)], [timed(candidate_s, candidate_s)]) == fails


def test_pytest_benchmarks_rule_takes_the_mean_over_rounds_whatever_their_requests() -> None:
    long, short = Window(np.full(30, 10.0), 100.0), Window(np.full(10, 20.0), 50.0)
    # The mean of 10 and 20 ms a request is 15 ms; by requests it would be 12.5 ms.
    assert pytest_benchmark_mean([timed(0.0142)], [[long, short]])
    assert not pytest_benchmark_mean([timed(0.0144)], [[long, short]])


@given(st.lists(st.floats(0.9, 1.2), min_size=1, max_size=8), st.lists(st.floats(0.9, 1.2), min_size=1, max_size=8))
def test_pytest_benchmarks_rule_says_what_pytest_benchmark_says(before_s: list[float], after_s: list[float]) -> None:
    check = parse_compare_fail("mean:5%")  # type: ignore[no-untyped-call]
    current, saved = ({"mean": float(np.mean([1 / (1 / s) for s in side]))} for side in (after_s, before_s))
    assert pytest_benchmark_mean([timed(*before_s)], [timed(*after_s)]) == bool(check.fails(current, saved))


# A fixed threshold on the mean


@pytest.mark.parametrize(
    ("name", "candidate_ms", "fails"),
    [
        ("mean latency: at most 5 %", 104.9, False),
        ("mean latency: at most 5 %", 105.0, False),
        ("mean latency: at most 5 %", 105.1, True),
        ("mean latency: at most 10 %", 109.9, False),
        ("mean latency: at most 10 %", 110.0, False),
        ("mean latency: at most 10 %", 110.1, True),
    ],
)
def test_a_fixed_threshold_fails_above_it(name: str, candidate_ms: float, fails: bool) -> None:
    threshold = the_rival(name, "all processes")
    assert threshold.is_broken([requests(100.0, 100.0)], [requests(*[candidate_ms] * 4)]) == fails


def test_a_fixed_threshold_takes_the_mean_over_the_requests_of_all_processes() -> None:
    baseline = [requests(100.0)]
    # 9 requests of 100 ms and one of 160: 106 ms.
    candidate = [[*requests(*[100.0] * 4), *requests(*[100.0] * 5)], requests(160.0)]
    assert mean_latency(baseline, candidate, allowed_ratio=1.0599)
    assert not mean_latency(baseline, candidate, allowed_ratio=1.0601)


# Mann-Whitney over requests


def test_mann_whitney_over_requests_fails_below_p_of_5_percent() -> None:
    # All of the candidate's are larger: p is 1 in 20 for 3 and 3, 1 in 35 for 3 and 4.
    assert not mann_whitney_over_requests([requests(1.0, 2.0, 3.0)], [requests(4.0, 5.0, 6.0)])
    assert mann_whitney_over_requests([requests(1.0, 2.0, 3.0)], [requests(4.0, 5.0, 6.0, 7.0)])


def test_mann_whitney_over_requests_is_one_sided() -> None:
    assert not mann_whitney_over_requests([requests(*range(40, 60))], [requests(*range(1, 21))])


def test_mann_whitney_over_requests_pools_windows_and_processes() -> None:
    assert mann_whitney_over_requests(
        [[*requests(1.0), *requests(2.0)], requests(3.0)], [[*requests(4.0, 5.0), *requests(6.0)], requests(7.0)]
    )


@pytest.mark.slow
def test_mann_whitney_over_requests_cries_wolf_when_processes_differ_by_2_percent() -> None:
    # Where processes are alike its error is the 5 % that it states. Standard error of a share: 1.3 points at 5 %.
    assert share_of_fails(mann_whitney_over_requests, between_processes=0.0) < 0.09
    assert share_of_fails(mann_whitney_over_requests, between_processes=0.02) > 0.2


@pytest.mark.slow
def test_more_processes_do_not_cure_mann_whitney_over_requests() -> None:
    share = share_of_fails(mann_whitney_over_requests, between_processes=0.02, processes=6, trials=150)
    assert share > 0.2


# benchstat


def test_benchstats_rule_fails_up_to_p_of_5_percent() -> None:
    # One value above 39 others has a two-sided p of 2 in 40, above 38 others one of 2 in 39.
    others = [timed(1.0 + place / 100) for place in range(39)]
    assert benchstat(others, [timed(2.0)], runs_per_process=1)
    assert not benchstat(others[:38], [timed(2.0)], runs_per_process=1)


def test_benchstats_rule_fails_on_a_slower_median_only() -> None:
    fast, slow = timed(*np.linspace(1.0, 1.1, 10)), timed(*np.linspace(1.2, 1.3, 10))
    assert benchstat([fast], [slow], runs_per_process=10)
    assert not benchstat([slow], [fast], runs_per_process=10)


def test_benchstats_rule_has_no_smallest_difference_that_matters() -> None:
    before = np.linspace(1.0, 1.0001, 10)
    assert benchstat([timed(*before)], [timed(*before + 0.001)], runs_per_process=10)


def test_benchstats_rule_sees_as_many_values_as_there_are_runs() -> None:
    fast, slow = timed(*np.linspace(1.0, 1.1, 12)), timed(*np.linspace(1.2, 1.3, 12))
    # All of one side are larger: p is 2 in 20 for 3 and 3 values, 2 in 70 for 4 and 4.
    assert not benchstat([fast], [slow], runs_per_process=3)
    assert benchstat([fast], [slow], runs_per_process=4)
    assert not benchstat([fast] * 3, [slow] * 3, runs_per_process=1)


def test_benchstat_makes_ten_runs_of_a_process_and_one_where_every_process_is_a_run() -> None:
    in_a_process = the_rival("benchstat: 10 runs a process", "one process each")
    fast, slow = timed(*np.linspace(1.0, 1.1, 10)), timed(*np.linspace(1.2, 1.3, 10))
    assert in_a_process.is_broken([fast], [slow])
    with pytest.raises(ValueError, match=r"^count=10 must be from 1 to the 9 windows of the process$"):
        in_a_process.is_broken([fast], [slow[:9]])
    assert not the_rival("benchstat: every process a run", "all processes").is_broken([fast], [slow])


@given(
    st.one_of(
        st.lists(st.integers(1, 10_000), min_size=8, max_size=8, unique=True),
        st.lists(st.integers(1, 6), min_size=8, max_size=8),
    ),
    st.sampled_from([(4, 4), (3, 5), (5, 3), (2, 6)]),
)
def test_benchstats_p_counts_all_ways_to_split_the_values(values: list[int], sizes: tuple[int, int]) -> None:
    def u_of(first: Sequence[int]) -> float:
        """Literal twin: in how many pairs the first side's value is the larger one, ties for a half."""
        second = [place for place in range(8) if place not in first]
        pairs = [(values[one], values[other]) for one in first for other in second]
        return sum(1.0 if one > other else 0.5 if one == other else 0.0 for one, other in pairs)

    seen = u_of(range(sizes[0]))
    smaller = min(seen, sizes[0] * sizes[1] - seen)
    splits = [u_of(split) <= smaller for split in combinations(range(8), sizes[0])]
    expected = 1.0 if seen == sizes[0] * sizes[1] / 2 else min(1.0, 2 * sum(splits) / len(splits))
    assert benchstat_p(values[: sizes[0]], values[sizes[0] :]) == pytest.approx(expected)


def test_benchstats_p_is_exact_up_to_50_values_a_side_and_approximate_above() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.normal(0.0, 1.0, 51).tolist(), rng.normal(0.4, 1.0, 50).tolist()
    exact, asymptotic = (
        [float(mannwhitneyu(values, second, method=method).pvalue) for values in (first[:50], first)]
        for method in ("exact", "asymptotic")
    )
    assert benchstat_p(first[:50], second) == pytest.approx(exact[0])
    assert benchstat_p(first, second) == pytest.approx(asymptotic[1])
    assert exact != pytest.approx(asymptotic, rel=1e-4)


def test_benchstats_p_with_ties_is_exact_up_to_25_values_a_side_and_approximate_above() -> None:
    rng = np.random.default_rng(6)
    first, second = rng.integers(0, 1000, 26).tolist(), rng.integers(300, 1300, 25).tolist()
    second[0] = first[0]
    asymptotic = [float(mannwhitneyu(values, second, method="asymptotic").pvalue) for values in (first[:25], first)]
    # A single tie of two hardly moves the exact p, which scipy has without ties only.
    without_ties = float(mannwhitneyu(first[:25], [second[0] + 0.5, *second[1:]], method="exact").pvalue)
    assert benchstat_p(first[:25], second) == pytest.approx(without_ties, rel=0.03)
    assert benchstat_p(first[:25], second) != pytest.approx(asymptotic[0], rel=1e-4)
    assert benchstat_p(first, second) == pytest.approx(asymptotic[1])


def test_a_process_that_was_drawn_three_times_over_is_no_evidence() -> None:
    # Exact p is 2 in 20; the normal approximation would say 0.03.
    assert benchstat_p([1.0] * 3, [2.0] * 3) == pytest.approx(0.1)


def test_benchstats_p_of_values_that_are_all_equal_is_one() -> None:
    assert benchstat_p([1.0] * 10, [1.0] * 10) == 1.0


@pytest.mark.slow
def test_benchstat_in_one_process_each_cries_wolf_when_processes_differ_by_2_percent() -> None:
    in_a_process = the_rival("benchstat: 10 runs a process", "one process each").is_broken
    # Where processes are alike its error is half of the two-sided 5 %: the other half are improvements.
    assert share_of_fails(in_a_process, between_processes=0.0) < 0.06
    assert share_of_fails(in_a_process, between_processes=0.02) > 0.15


@pytest.mark.slow
def test_benchstat_keeps_its_word_where_every_process_is_a_run() -> None:
    every_process = the_rival("benchstat: every process a run", "all processes").is_broken
    assert share_of_fails(every_process, between_processes=0.02, processes=10, trials=150) < 0.08
    assert share_of_fails(every_process, between_processes=0.02, slowdown=1.05, processes=10, trials=50) > 0.9


# Runs and windows


@given(st.integers(1, 70), st.data())
def test_runs_are_consecutive_complete_and_nearly_equal(windows: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, windows))
    process = timed(*np.linspace(1.0, 2.0, windows))
    runs = runs_of(process, count)
    assert [window for run in runs for window in run] == process
    sizes = [len(run) for run in runs]
    assert len(sizes) == count
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("count", [0, 4])
def test_runs_without_windows_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"^count={count} must be from 1 to the 3 windows of the process$"):
        runs_of(timed(1.0, 1.0, 1.0), count)


@pytest.mark.parametrize(
    ("latencies_ms", "throughput_rps", "message"),
    [
        ([], 1.0, r"latencies_ms has shape \(0,\); it must be \(n,\) with at least one request"),
        ([[1.0]], 1.0, r"latencies_ms has shape \(1, 1\); it must be \(n,\) with at least one request"),
        ([1.0, 0.0], 1.0, r"latencies_ms=\[1. 0.\] must all be finite and above 0"),
        ([1.0, np.nan], 1.0, r"latencies_ms=\[ 1. nan\] must all be finite and above 0"),
        ([1.0, np.inf], 1.0, r"latencies_ms=\[ 1. inf\] must all be finite and above 0"),
        ([1.0], 0.0, r"throughput_rps=0.0 must be finite and above 0"),
        ([1.0], np.inf, r"throughput_rps=inf must be finite and above 0"),
    ],
)
def test_a_window_without_figures_is_refused(latencies_ms: list[float], throughput_rps: float, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Window(np.array(latencies_ms), throughput_rps)
