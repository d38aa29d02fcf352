"""What would the rules that others use have said of the same data?

Comes in: processes of the baseline and of the candidate, each as its windows in order of time. Goes out: for each rule
of `RIVALS`, whether it says FAIL. Pure maths, no I/O; imports nothing of ours.

Each rule is what its source says; the commits are those that were read. What a source leaves open, or has no word for,
is decided the way that is better for the rule, and stands under "Our reading". Every rule is asked twice: of one
process of each version, all that it sees where it is used, and of all processes that our own gate measured.

The data are better than a rule usually has them: baseline and candidate take turns on one host, window by window. Where
one is measured after the other, it may err more often than is shown here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import mannwhitneyu, rankdata

#: LiteLLM's test: how often it measures both sides, and the mean difference that it does not accept.
LITELLM_RUNS: Final = 3
LITELLM_BELOW_PERCENT: Final = 10.0
#: The `5` of `--benchmark-compare-fail=mean:5%`.
PYTEST_BENCHMARK_PERCENT: Final = 5.0
#: The default of benchstat's `-alpha` and of google/benchmark's `--alpha`.
ALPHA: Final = 0.05
#: benchstat's documentation: "at least 10 times".
BENCHSTAT_RUNS: Final = 10
#: The most values a side for which benchstat takes the exact distribution of U: `MannWhitneyExactLimit`, and
#: `MannWhitneyTiesExactLimit` where values are equal.
BENCHSTAT_EXACT_UP_TO: Final = 50
BENCHSTAT_EXACT_WITH_TIES_UP_TO: Final = 25


#: What most rules are used on.
ONE_PROCESS: Final = "one process each"


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One short load of one process.

    Args:
        latencies_ms: of its requests, shape (n,), at least one, each above 0.
        throughput_rps: requests a second, above 0.
    """

    latencies_ms: npt.NDArray[np.float64]
    throughput_rps: float

    def __post_init__(self) -> None:
        """Check every field: no rule may read a verdict out of a window without requests."""
        latencies = self.latencies_ms
        if latencies.ndim != 1 or not latencies.size:
            raise ValueError(f"latencies_ms has shape {latencies.shape}; it must be (n,) with at least one request")
        if not (np.isfinite(latencies).all() and (latencies > 0).all()):
            raise ValueError(f"latencies_ms={latencies} must all be finite and above 0")
        if not (np.isfinite(self.throughput_rps) and self.throughput_rps > 0):
            raise ValueError(f"throughput_rps={self.throughput_rps} must be finite and above 0")


#: All windows of one process, in order of time.
Process = Sequence[Window]
#: (processes of the baseline, processes of the candidate) -> whether it says FAIL.
Rule = Callable[[Sequence[Process], Sequence[Process]], bool]
Data = Literal["one process each", "all processes"]


@dataclass(frozen=True, slots=True)
class Rival:
    """A rule that others use, with the data that it is given.

    Args:
        name: in words, for a table.
        source: where the rule is written down.
        data: which of the processes it sees.
        is_broken: (processes of the baseline, processes of the candidate) -> whether it says FAIL.
    """

    name: str
    source: str
    data: Data
    is_broken: Rule


def runs_of(process: Process, count: int) -> tuple[Process, ...]:
    """A process' windows as so many runs: consecutive groups whose sizes differ by at most one window.

    Args:
        process: in order of time.
        count: of runs; at least 1 and at most the number of windows.

    >>> w = [Window(np.array([10.0]), throughput_rps=rps) for rps in (1, 2, 3, 4, 5)]
    >>> [[window.throughput_rps for window in run] for run in runs_of(w, 3)]
    [[1], [2, 3], [4, 5]]
    """
    if not 1 <= count <= len(process):
        raise ValueError(f"count={count} must be from 1 to the {len(process)} windows of the process")
    ends = [len(process) * run // count for run in range(count + 1)]
    return tuple(process[start:end] for start, end in pairwise(ends))


def litellm_callback_test(baseline: Sequence[Process], candidate: Sequence[Process]) -> bool:
    """LiteLLM's test that a logging callback costs nothing: the mean of three differences must stay below 10 %.

    What the source does: three times, 300 calls without the callback, then 300 with it. Each time the absolute
    difference of the two durations, as a share of the first; `assert avg_percentage_diff < 10`. So a candidate that is
    10 % faster fails as well, and noise does not average out, since the sign is dropped before the mean is taken. The
    DataDog test beside it has one run instead of three, the OpenTelemetry test allows 20 %.

    Our reading:
    - Two versions stand for "without" and "with".
    - The duration is the time that a run took, divided by its requests. The source's includes a second of sleep with
      each 100 calls, which would hide most of any difference; it is left out here.
    - All processes: each in three runs, compared with the same run of the candidate's process of the same place.

    Raises:
        ValueError: the candidate has more or fewer processes than the baseline, or a process has fewer than 3 windows.

    Source: BerriAI/litellm, tests/load_tests/test_langsmith_load_test.py, test_langsmith_logging_async, commit
    5eb9b51e; test_datadog_load_test.py (2b8c1d6b), test_otel_load_test.py (15bbbcd6).
    """
    if len(baseline) != len(candidate):
        raise ValueError(
            f"baseline has {len(baseline)} processes and candidate {len(candidate)}; their runs are compared in pairs"
        )
    differences_percent = [
        abs(after - before) / before * 100
        for before, after in zip(
            _seconds_a_request_by_run(baseline, LITELLM_RUNS),
            _seconds_a_request_by_run(candidate, LITELLM_RUNS),
            strict=True,
        )
    ]
    return not sum(differences_percent) / len(differences_percent) < LITELLM_BELOW_PERCENT


def pytest_benchmark_mean(baseline: Sequence[Process], candidate: Sequence[Process]) -> bool:
    """`--benchmark-compare-fail=mean:5%`: FAIL when the mean over rounds is more than 5 % above the saved one's.

    What the source does: a round times so many iterations of a function and notes their duration divided by their
    number; `PercentageRegressionCheck` fails when `current mean / saved mean * 100 - 100 > 5`.

    Our reading:
    - A round is a window, its iterations are the window's requests. Two at a time stand for one after the other.
    - All windows are rounds, as `benchmark.pedantic(rounds=…)` allows. By default it would stop after a second.
    - All processes: the rounds of all in one mean.

    Source: ionelmc/pytest-benchmark, docs/comparing.rst; src/pytest_benchmark/utils.py, PercentageRegressionCheck;
    stats.py, Metadata.update; commit 47d66c88.
    """
    mean_s = [
        float(np.mean([1 / window.throughput_rps for process in processes for window in process]))
        for processes in (baseline, candidate)
    ]
    return mean_s[1] / mean_s[0] * 100 - 100 > PYTEST_BENCHMARK_PERCENT


def mean_latency(baseline: Sequence[Process], candidate: Sequence[Process], *, allowed_ratio: float) -> bool:
    """A fixed threshold on the mean latency of all requests: FAIL when it is more than so many times the baseline's.

    What the source does: an alert when `current / previous > threshold`; with `fail-on-alert` the workflow fails. Its
    default threshold is 200 %; 105 % and 110 % are the ones that a gate for a gateway would need.

    Our reading: the value compared is the mean over requests. All processes: over the requests of all.

    Args:
        baseline, candidate: the processes.
        allowed_ratio: of the means; reaching it is allowed.

    Source: benchmark-action/github-action-benchmark, README.md, alert-threshold; src/write.ts, findAlerts; commit
    c38cce98.
    """
    return float(_latencies_ms(candidate).mean() / _latencies_ms(baseline).mean()) > allowed_ratio


def mann_whitney_over_requests(baseline: Sequence[Process], candidate: Sequence[Process]) -> bool:
    """A significance test over requests: FAIL when the candidate's latencies are larger, Mann-Whitney U, p < 0.05.

    What the sources do: `scipy.stats.mannwhitneyu` over what was measured, at 0.05. google/benchmark's compare.py asks
    it of repetitions of a benchmark, of at least 9. A load test's only repetitions are its requests, so a gate over a
    load test asks it of those.

    Our reading:
    - The request is the sample, taken as independent of the others. No source says so; it is what is often done.
    - One-sided, so that an improvement never fails. compare.py is two-sided and only colours its output.
    - No smallest difference that matters is asked for, since the test has none.
    - All processes: the requests of all, as if of one.

    Source: google/benchmark, docs/tools.md, U test; tools/gbench/report.py, calc_utest; commit 267a1115.
    """
    p = mannwhitneyu(_latencies_ms(candidate), _latencies_ms(baseline), alternative="greater").pvalue
    return float(p) < ALPHA


def benchstat(baseline: Sequence[Process], candidate: Sequence[Process], *, runs_per_process: int) -> bool:
    """benchstat: Mann-Whitney U over runs, two-sided; FAIL when the difference is significant and the median worse.

    What the source does: one value for each run, "at least 10, ideally 20" of them. It prints the difference of the
    medians when `benchstat_p` is at most 0.05, else "~". It has no gate of its own, and no smallest difference that
    matters.

    Our reading:
    - A gate on it fails when a difference is printed and it is a slowdown.
    - A run's value is its time a request, as `ns/op` is; a run is a group of consecutive windows.
    - All processes: either 10 runs of each, as `-count=10` makes them in one process, or every process as one run. The
      documentation leaves both open. From 10 processes on the second is the better one: its values are independent.

    Args:
        baseline, candidate: the processes.
        runs_per_process: so many values come from each process.

    Raises:
        ValueError: a process has fewer windows than that.

    Source: golang/perf, cmd/benchstat/main.go (documentation); benchmath/sample.go, FormatDelta; commit 712aea8b.
    """
    before_s = _seconds_a_request_by_run(baseline, runs_per_process)
    after_s = _seconds_a_request_by_run(candidate, runs_per_process)
    return benchstat_p(before_s, after_s) <= ALPHA and float(np.median(after_s)) > float(np.median(before_s))


def benchstat_p(first: Sequence[float], second: Sequence[float]) -> float:
    """The p-value that benchstat compares with alpha: Mann-Whitney U, two-sided.

    Exact for up to 50 values a side, or 25 where some are equal, as they are when a process is drawn twice; else the
    normal approximation, corrected for ties and continuity. Values that are all equal have p = 1.

    Args:
        first, second: a value for each run, any unit, at least one.

    Source: golang/perf, benchmath/anone.go, Compare, commit 712aea8b; aclements/go-moremath, stats/utest.go,
    MannWhitneyUTest, commit c8bbc672.

    >>> round(benchstat_p([1, 2, 3, 4], [5, 6, 7, 8]), 4)
    0.0286
    """
    values = np.array([*first, *second], dtype=np.float64)
    larger = max(len(first), len(second))
    has_ties = np.unique(values).size < values.size
    if has_ties and larger <= BENCHSTAT_EXACT_WITH_TIES_UP_TO:
        return _exact_p_with_ties(values, len(first))
    exact = not has_ties and larger <= BENCHSTAT_EXACT_UP_TO
    return float(
        mannwhitneyu(
            values[: len(first)],
            values[len(first) :],
            alternative="two-sided",
            method="exact" if exact else "asymptotic",
        ).pvalue
    )


def _exact_p_with_ties(values: npt.NDArray[np.float64], first: int) -> float:
    # Twice the ranks, since those of ties may end in a half. U is the sum of the first side's ranks but for a constant.
    ranks = np.rint(2 * rankdata(values)).astype(np.int64)
    seen = int(ranks[:first].sum())
    centre = first * (values.size + 1)  # twice the mean rank, as often as there are values on the first side
    if seen == centre:
        return 1.0
    # ways[k, s]: how many choices of k of the ranks so far have the sum s.
    ways = np.zeros((first + 1, int(ranks.sum()) + 1))
    ways[0, 0] = 1
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, :-rank]
    smaller = min(seen, 2 * centre - seen)
    return min(1.0, 2 * float(ways[first, : smaller + 1].sum() / ways[first].sum()))


def _seconds_a_request_by_run(processes: Sequence[Process], runs_per_process: int) -> list[float]:
    return [_seconds_a_request(run) for process in processes for run in runs_of(process, runs_per_process)]


def _seconds_a_request(run: Process) -> float:
    requests = sum(window.latencies_ms.size for window in run)
    return sum(window.latencies_ms.size / window.throughput_rps for window in run) / requests


def _latencies_ms(processes: Sequence[Process]) -> npt.NDArray[np.float64]:
    return np.concatenate([window.latencies_ms for process in processes for window in process])


def _of_the_first(rule: Rule, baseline: Sequence[Process], candidate: Sequence[Process]) -> bool:
    return _of_all(rule, baseline[:1], candidate[:1])


def _of_all(rule: Rule, baseline: Sequence[Process], candidate: Sequence[Process]) -> bool:
    for name, processes in (("baseline", baseline), ("candidate", candidate)):
        if not processes or not all(len(process) for process in processes):
            windows = [len(process) for process in processes]
            raise ValueError(f"{name} has processes of {windows} windows; it must have one, and none without windows")
    return rule(baseline, candidate)


def _rivals(name: str, source: str, rule: Rule) -> tuple[Rival, Rival]:
    # Partials of module-level functions, so that a rival can be sent to a worker process.
    return (
        Rival(name, source, ONE_PROCESS, partial(_of_the_first, rule)),
        Rival(name, source, "all processes", partial(_of_all, rule)),
    )


_LITELLM: Final = "BerriAI/litellm, tests/load_tests/test_langsmith_load_test.py"
_PYTEST_BENCHMARK: Final = "pytest-benchmark, docs/comparing.rst and src/pytest_benchmark/utils.py"
_THRESHOLD: Final = "github-action-benchmark, README.md (alert-threshold) and src/write.ts; the percentage is ours"
_U_TEST: Final = "common practice; the test as in google/benchmark, docs/tools.md and tools/gbench/report.py"
_BENCHSTAT: Final = "golang.org/x/perf, cmd/benchstat/main.go and benchmath/anone.go"

#: Names of rules that are drawn (curve.py).
LITELLM_RULE: Final = "LiteLLM's callback test: 3 runs, mean difference below 10 %"
PYTEST_BENCHMARK_RULE: Final = "pytest-benchmark: --benchmark-compare-fail=mean:5%"
U_TEST_RULE: Final = "Mann-Whitney over requests: p < 0.05"

RIVALS: Final[tuple[Rival, ...]] = (
    *_rivals(LITELLM_RULE, _LITELLM, litellm_callback_test),
    *_rivals(PYTEST_BENCHMARK_RULE, _PYTEST_BENCHMARK, pytest_benchmark_mean),
    *_rivals("mean latency: at most 5 % more", _THRESHOLD, partial(mean_latency, allowed_ratio=1.05)),
    *_rivals("mean latency: at most 10 % more", _THRESHOLD, partial(mean_latency, allowed_ratio=1.10)),
    *_rivals(U_TEST_RULE, _U_TEST, mann_whitney_over_requests),
    *_rivals(
        f"benchstat: {BENCHSTAT_RUNS} runs a process, alpha 0.05",
        _BENCHSTAT,
        partial(benchstat, runs_per_process=BENCHSTAT_RUNS),
    ),
    Rival(
        "benchstat: every process a run, alpha 0.05",
        _BENCHSTAT,
        "all processes",
        partial(_of_all, partial(benchstat, runs_per_process=1)),
    ),
)
