"""What was measured: windows, and the figures that whole rounds of them give.

Comes in: windows as experiment/rounds.py made them. Goes out: `Estimate`s with intervals. No I/O, no limits.

    Measurement --has--> Window (one short load against one arm) --has--> LoadResult, GatewayUse
    Measurement --gives-> Estimate (a figure with its interval)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from perfgate.experiment.arms import CANDIDATE, Arm
from perfgate.load.result import ErrorCount, LoadResult
from perfgate.load.schedule import ClosedLoop, Schedule
from perfgate.measure.histogram import Histogram
from perfgate.stats.proportion import proportion_interval
from perfgate.stats.resampling import (
    ERROR,
    RESAMPLES,
    interval_of,
    resampled_weights,
    weighted_percentiles,
    weighted_ratios,
)
from perfgate.thresholds import Objective

#: Seed of the resampling: an interval depends on the data alone.
RESAMPLING_SEED: Final = 20_260_101

MIB: Final = 1024 * 1024


class NotMeasured(ValueError):
    """A figure was asked of a measurement that lacks what it is made of; the message says what is missing."""


class Unmeasurable(NotMeasured):
    """A figure that no further round would bring: of a gateway that somebody else started, for example."""


@dataclass(frozen=True, slots=True)
class GatewayUse:
    """What the gateway's process tree used for one window.

    Args:
        cpu_s: CPU time from window open until the drain's end.
        rss_before_bytes: resident memory before the warm-up's first request.
        rss_after_bytes: the same after the drain.
        requests: requests sent to it between these two, warm-up included.
        cpu_resolution_ms: the granularity of `cpu_s`.
        cpu_tree_s: the same CPU time by the process tree where `cpu_s` is by the control group; None else.
    """

    cpu_s: float
    rss_before_bytes: int
    rss_after_bytes: int
    requests: int
    cpu_resolution_ms: float
    cpu_tree_s: float | None = None


@dataclass(frozen=True, slots=True)
class LedgerUse:
    """What a gateway wrote into its database for one window, warm-up included, once it had written all, or time was up.

    Args:
        requests: sent to it, each of which should be a row.
        rows: of the spend log.
        rows_spend_usd: spend of these rows, added up.
        key_spend_usd: by which the key's own spend grew.
        waited_s: for the last of it, after the load's drain.
        connections_max: to its database at one time, as far as was seen.
        connections_allowed: pool limit × workers × instances.
    """

    requests: int
    rows: int
    rows_spend_usd: float
    key_spend_usd: float
    waited_s: float
    connections_max: int
    connections_allowed: int


@dataclass(frozen=True, slots=True)
class SinkUse:
    """What a gateway's callback logged for one window, warm-up included, once all of it had arrived, or no more came.

    Args:
        requests: sent to it, each of which should be one record.
        records: that the log sink accepted.
        distinct: different requests among these.
        waited_s: for the last of it, after the load's drain.
    """

    requests: int
    records: int
    distinct: int
    waited_s: float


#: What became of a rate that was tried: it kept to the objective or not, or the load was not sent as it should be.
Outcome = Literal["held", "broken", "unfit"]


@dataclass(frozen=True, slots=True)
class Trial:
    """What a window of a search tried, and what came of it."""

    offered_rps: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Window:
    """One short load against one arm.

    Args:
        arm: the arm's name.
        generation: which start of the arm's processes served it, from 0.
        round: which round within the generation, from 0; windows of one round and generation belong together.
        position: its place within the round's random order, from 0.
        seed: of its schedule.
        load: what the generator saw.
        gateway: what the gateway used; None for the direct arm.
        upstream_requests: that reached the mock from the warm-up's first request until the drain's end; None for the
            direct arm, and where the mock is not ours.
        ledger: what the gateway wrote into its database; None where it has none.
        sink: what the gateway's callback logged; None where it has none.
        trial: of a search for a capacity, whose windows have rates of their own; None of others.
    """

    arm: str
    generation: int
    round: int
    position: int
    seed: int
    load: LoadResult
    gateway: GatewayUse | None
    upstream_requests: int | None = None
    ledger: LedgerUse | None = None
    sink: SinkUse | None = None
    trial: Trial | None = None


@dataclass(frozen=True, slots=True)
class FaultCycle:
    """A dependency that failed and was well again, by CLOCK_MONOTONIC, and what the gateway wrote in the whole cycle.

    Args:
        generation: of the gateway that depended on it.
        began_mono_s: from when on it failed.
        over_mono_s: when it was told to be well again.
        ended_mono_s: when it was.
        ledger: written into the gateway's database; None where it has none, or the cycle is not over.
        sink: logged by its callback; likewise.
    """

    generation: int
    began_mono_s: float
    over_mono_s: float
    ended_mono_s: float
    ledger: LedgerUse | None = None
    sink: SinkUse | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval.

    Args:
        metric: its name in thresholds.yaml.
        unit: `ms`, `s`, `MiB`, or empty for a ratio.
        value: the point estimate from all rounds.
        low, high: the interval's ends.
        confidence: of the interval, 0.95 for 95 %.
        rounds, generations: how many it rests on.
        requests: of the arm it speaks of.
        requests_needed: below this many the figure is not judged.
    """

    metric: str
    unit: str
    value: float
    low: float
    high: float
    confidence: float
    rounds: int
    generations: int
    requests: int
    requests_needed: int = 0


@dataclass(frozen=True, slots=True)
class Measurement:
    """Every window of one scenario, in the order in which they ran.

    Args:
        scenario: its name in thresholds.yaml.
        arms: the arms of every round.
        schedule: the load of every gateway window.
        windows: see `Window`.
        mock_delay_ms: the delay that the mock was told to answer with.
        looks: how often the data may be looked at; intervals widen accordingly (Bonferroni), so that looking after
            every round does not raise the error of the whole. Where there are intervals, at most LOOKS_MAX of
            stats/resampling.py.
        look: which look this is, from 1 to `looks`.
        rounds_planned_max: the most rounds this measurement would have made.
        stopped: why it ended, in words.
        direct_schedule: of the direct arm's windows; None for `schedule`.
        unasked: in what `baseline` and `candidate` differ though nobody asked for it, in words; with any of it they
            are not what was to be compared.
        faults: when a dependency failed, of a measurement of that.
        shown: windows of another load, which are shown and not judged, one for each gateway's arm.
        shown_schedule: that load.
        objective: of a search for a capacity: what a rate had to keep to; `schedule` then has the first one tried.
    """

    scenario: str
    arms: tuple[Arm, ...]
    schedule: Schedule | None
    windows: tuple[Window, ...] = ()
    mock_delay_ms: float = 0.0
    looks: int = 1
    look: int = 1
    rounds_planned_max: int = 0
    stopped: str = ""
    direct_schedule: Schedule | None = None
    unasked: tuple[str, ...] = ()
    faults: tuple[FaultCycle, ...] = ()
    shown: tuple[Window, ...] = ()
    shown_schedule: Schedule | None = None
    objective: Objective | None = None

    def with_windows(self, windows: tuple[Window, ...]) -> "Measurement":
        """The same measurement, these windows added."""
        return replace(self, windows=self.windows + windows)

    @property
    def confidence(self) -> float:
        """Confidence of each interval: 95 % for the whole, shared between the looks."""
        return 1 - ERROR / self.looks

    @property
    def rounds(self) -> tuple[tuple[int, int], ...]:
        """Every (generation, round) that was measured, ascending."""
        return tuple(sorted({(window.generation, window.round) for window in self.windows}))

    @property
    def generations(self) -> int:
        """How many generations have at least one round."""
        return len({generation for generation, _ in self.rounds})

    def of_arm(self, arm: str) -> tuple[Window, ...]:
        """The arm's windows, one a round, in the order of `rounds`.

        Raises:
            NotMeasured: the arm has no window.
        """
        found = tuple(sorted((w for w in self.windows if w.arm == arm), key=lambda w: (w.generation, w.round)))
        if not found:
            raise NotMeasured(f"{self.scenario}: no window of arm {arm!r}; arms are {[a.name for a in self.arms]}")
        return found

    def merged(self, arm: str, of: Callable[[LoadResult], Histogram]) -> Histogram:
        """One histogram of all the arm's windows, for example `merged("gateway", lambda load: load.latency)`."""
        return Histogram.merged([of(window.load) for window in self.of_arm(arm)])

    def requests(self, arm: str) -> int:
        """Requests sent within the arm's windows."""
        return sum(window.load.sent for window in self.of_arm(arm))

    def errors(self, arm: str) -> tuple[ErrorCount, ...]:
        """The arm's errors by kind over all windows, most frequent first."""
        total: dict[str, ErrorCount] = {}
        for window in self.of_arm(arm):
            for error in window.load.errors:
                seen = total.get(error.kind)
                total[error.kind] = replace(seen, count=seen.count + error.count) if seen else error
        return tuple(sorted(total.values(), key=lambda error: -error.count))

    def latency_ms(self, percentile: float, arm: str = "gateway") -> Estimate:
        """Latency from the intended start, at a percentile of the arm's merged histogram."""
        return self._percentile(f"latency_p{percentile:g}_ms", percentile, arm, _latency)

    def overhead_ms(self, percentile: float, arm: str = "gateway", direct: str = "direct") -> Estimate:
        """The arm's latency minus direct latency at the same percentile, offered load and rounds."""
        return self._difference(f"overhead_p{percentile:g}_ms", percentile, arm, direct, _latency)

    def added_ms(self, percentile: float, arm: str = "gateway", without: str = "without") -> Estimate:
        """What a feature adds: the arm's latency minus that of the same gateway without it."""
        return self._difference(f"added_p{percentile:g}_ms", percentile, arm, without, _latency)

    def first_token_ms(self, percentile: float, arm: str = "gateway") -> Estimate:
        """Time from the intended start to the first chunk with content, of streams."""
        return self._percentile(f"first_token_p{percentile:g}_ms", percentile, arm, _first_token)

    def first_token_overhead_ms(self, percentile: float, arm: str = "gateway", direct: str = "direct") -> Estimate:
        """`first_token_ms` minus that of the direct arm."""
        return self._difference(f"first_token_overhead_p{percentile:g}_ms", percentile, arm, direct, _first_token)

    def session_opening_ms(self, percentile: float, arm: str = "gateway") -> Estimate:
        """Time from the instant at which a realtime session was meant to be opened to `session.created`."""
        estimate = self._percentile(f"session_opening_p{percentile:g}_ms", percentile, arm, _session_opening)
        return replace(estimate, requests=self.merged(arm, _session_opening).count)

    def session_opening_overhead_ms(self, percentile: float, arm: str = "gateway", direct: str = "direct") -> Estimate:
        """`session_opening_ms` minus that of the direct arm."""
        metric = f"session_opening_overhead_p{percentile:g}_ms"
        estimate = self._difference(metric, percentile, arm, direct, _session_opening)
        return replace(estimate, requests=min(self.merged(name, _session_opening).count for name in (arm, direct)))

    def opened_sessions_per_s(self, arm: str = "gateway") -> Estimate:
        """Realtime sessions created a second, of the windows."""
        loads = [window.load for window in self.of_arm(arm)]
        opened = np.array([load.sessions_opened for load in loads], dtype=float)
        seconds = np.array([load.window_closed_mono_s - load.window_opened_mono_s for load in loads])
        return self._ratio_of_sums("opened_sessions_per_s", "sessions/s", opened, seconds, arm)

    def held_sessions(self, arm: str = "gateway") -> Estimate:
        """The fewest realtime sessions that were there at one time within a window, of all windows."""
        fewest = float(min(window.load.sessions_held_min for window in self.of_arm(arm)))
        rounds, requests = len(self.rounds), self.requests(arm)
        return Estimate(
            "held_sessions", "sessions", fewest, fewest, fewest, self.confidence, rounds, self.generations, requests
        )

    def chunk_gap_ms(self, percentile: float, arm: str = "gateway") -> Estimate:
        """Time between successive chunks with content of one stream."""
        return self._percentile(f"chunk_gap_p{percentile:g}_ms", percentile, arm, _chunk_gap)

    def throughput_rps(self, arm: str = "gateway") -> Estimate:
        """Requests that succeeded a second, of windows and their drains: what a closed loop is for."""
        succeeded, seconds = self._succeeded_and_seconds(arm)
        return self._ratio_of_sums("throughput_rps", "requests/s", succeeded, seconds, arm)

    def window_rps(self, arm: str = "gateway") -> Estimate:
        """Requests that succeeded, by the second of their windows, without the drains: the rate of users who think."""
        succeeded, seconds = self._succeeded_and_window_s(arm)
        return self._ratio_of_sums("window_rps", "requests/s", succeeded, seconds, arm)

    def mean_ms(self, arm: str = "gateway") -> Estimate:
        """Mean latency from the intended start, of all requests of all windows."""
        total_ms, counts = self._latency_ms_and_counts(arm)
        return self._ratio_of_sums("mean_ms", "ms", total_ms, counts, arm)

    def think_time_law_ratio(self, arm: str = "gateway") -> Estimate:
        """`window_rps` divided by what so many users send by the law, users / (mean think time + mean latency).

        Both come from the same resampled rounds, so that a round which was slow moves both.

        Raises:
            NotMeasured: the load has no users who think.
            EmptyRound: no request of a round was answered.
        """
        load = self.schedule
        if not isinstance(load, ClosedLoop) or not load.mean_think_time_s:
            raise NotMeasured(f"{self.scenario}: its load has no users who think")
        weights = self._weights()
        rps = weighted_ratios(*self._succeeded_and_window_s(arm), weights)
        mean_ms = weighted_ratios(*self._latency_ms_and_counts(arm), weights)
        by_law_rps = load.users / (load.mean_think_time_s + mean_ms / 1000)
        return self._estimate("think_time_law_ratio", "", rps / by_law_rps, requests=self.requests(arm))

    def cpu_ms_per_request(self, arm: str = "gateway") -> Estimate:
        """CPU of the gateway's process tree per completed request, background work of the window included."""
        cpu_ms, completed = self._cpu_ms_and_completed(arm)
        return self._ratio_of_sums("cpu_per_request_ms", "ms", cpu_ms, completed, arm)

    def added_cpu_ms_per_request(self, arm: str = "gateway", without: str = "without") -> Estimate:
        """CPU per request of the arm minus that of the same gateway without a feature."""
        weights = self._weights()
        (through, of_arm), (other, of_other) = (self._cpu_ms_and_completed(name) for name in (arm, without))
        samples = weighted_ratios(through, of_arm, weights) - weighted_ratios(other, of_other, weights)
        requests = min(self.requests(arm), self.requests(without))
        return self._estimate("added_cpu_per_request_ms", "ms", samples, requests=requests)

    def overhead_ratio(self, percentile: float, arm: str, direct: str, than: str, than_direct: str) -> Estimate:
        """The overhead of one arm divided by that of another, each over a direct arm of its own."""
        (values, counts), weights = self._counts([arm, direct, than, than_direct], _latency), self._weights()
        at = [weighted_percentiles(values, of_arm, weights, percentile) for of_arm in counts]
        requests = min(self.requests(name) for name in (arm, direct, than, than_direct))
        samples = (at[0] - at[1]) / (at[2] - at[3])
        needed = requests_needed(percentile)
        return self._estimate(f"overhead_p{percentile:g}_ratio", "", samples, requests=requests, requests_needed=needed)

    def latency_ratio(self, metric: str, percentile: float, arm: str, than: str) -> Estimate:
        """The latency of one arm divided by that of another, at the same percentile and in the same rounds."""
        (values, counts), weights = self._counts([arm, than], _latency), self._weights()
        of_arm, of_other = (weighted_percentiles(values, each, weights, percentile) for each in counts)
        requests, needed = min(self.requests(arm), self.requests(than)), requests_needed(percentile)
        return self._estimate(metric, "", of_arm / of_other, requests=requests, requests_needed=needed)

    def throughput_ratio(self, metric: str, arm: str, than: str) -> Estimate:
        """`throughput_rps` of one arm divided by that of another."""
        return self._ratio_of_arms(metric, arm, than, self._succeeded_and_seconds)

    def throughput_loss_ratio(self, arm: str, than: str) -> Estimate:
        """The share by which an arm's throughput is below that of another; below 0 where it is above.

        Raises:
            NotMeasured: in a round nothing of the other one succeeded.
        """
        if not all(window.load.succeeded for window in self.of_arm(than)):
            raise NotMeasured(f"{self.scenario}: in a round no request of arm {than!r} was answered")
        weights = self._weights()
        of_arm, of_other = (weighted_ratios(*self._succeeded_and_seconds(name), weights) for name in (arm, than))
        requests = min(self.requests(arm), self.requests(than))
        return self._estimate("throughput_loss_ratio", "", 1 - of_arm / of_other, requests=requests)

    def cpu_ratio(self, metric: str, arm: str, than: str) -> Estimate:
        """`cpu_ms_per_request` of one arm divided by that of another."""
        return self._ratio_of_arms(metric, arm, than, self._cpu_ms_and_completed)

    def rss_ratio(self, metric: str, arm: str, than: str) -> Estimate:
        """`rss_mib` of one arm divided by that of another."""
        return self._ratio_of_arms(metric, arm, than, self._rss_mib_and_ones)

    def rss_mib(self, arm: str = "gateway") -> Estimate:
        """Resident memory of the gateway's process tree after a window, the mean of all."""
        rss_mib, ones = self._rss_mib_and_ones(arm)
        return self._ratio_of_sums("rss_mib", "MiB", rss_mib, ones, arm)

    def rss_growth_mib_per_1000_requests(self, arm: str = "gateway") -> Estimate:
        """Growth of the gateway's resident memory per 1,000 requests, over all its windows, warm-ups included."""
        uses = [self._use(window) for window in self.of_arm(arm)]
        growth_mib = np.array([(use.rss_after_bytes - use.rss_before_bytes) / MIB for use in uses])
        thousands = np.array([use.requests / 1000 for use in uses])
        return self._ratio_of_sums("rss_growth_mib_per_1000_requests", "MiB", growth_mib, thousands, arm)

    def error_ratio(self, arm: str = "gateway") -> Estimate:
        """Share of the arm's sent requests that did not succeed, with the exact binomial interval."""
        sent = self.requests(arm)
        failed = sent - sum(window.load.succeeded for window in self.of_arm(arm))
        return self._proportion("error_ratio", failed, sent)

    def completed_ratio(self, arm: str = "gateway") -> Estimate:
        """Share of the arm's sent requests that had a whole reply by the end of the tail: the gateway's figure."""
        return self._proportion(
            "completed_ratio", sum(window.load.completed for window in self.of_arm(arm)), self.requests(arm)
        )

    def header_missing_ratio(self, arm: str = "gateway") -> Estimate:
        """Share of the arm's replies that succeeded without the header x-litellm-overhead-duration-ms."""
        loads = [window.load for window in self.of_arm(arm)]
        missing, succeeded = sum(load.header_missing for load in loads), sum(load.succeeded for load in loads)
        return self._counted("header_missing_ratio", missing, succeeded, arm)

    def upstream_ratio(self, arm: str = "gateway") -> Estimate:
        """Requests that reached the mock, for each that was sent to the gateway, warm-ups included."""
        windows = self.of_arm(arm)
        if any(window.upstream_requests is None for window in windows):
            raise Unmeasurable(f"{self.scenario}: the endpoint behind arm {arm!r} is not ours and tells no counts")
        reached = sum(window.upstream_requests or 0 for window in windows)
        return self._counted(
            f"{arm}_upstream_ratio", reached, sum(self._use(window).requests for window in windows), arm
        )

    def spend_rows_missing_ratio(self, arm: str = "gateway") -> Estimate:
        """Share of the requests that are not one row of the spend log each; rows too many count as well."""
        ledgers = self._ledgers(arm)
        wrong = sum(abs(ledger.requests - ledger.rows) for ledger in ledgers)
        return self._counted("spend_rows_missing_ratio", wrong, sum(ledger.requests for ledger in ledgers), arm)

    def key_spend_error_ratio(self, arm: str = "gateway") -> Estimate:
        """By how much the key's own spend grew more or less than its rows of the spend log say, relative to these."""
        ledgers = self._ledgers(arm)
        wrong_usd = sum(abs(ledger.key_spend_usd - ledger.rows_spend_usd) for ledger in ledgers)
        return self._counted("key_spend_error_ratio", wrong_usd, sum(ledger.rows_spend_usd for ledger in ledgers), arm)

    def connections_ratio(self, arm: str = "gateway") -> Estimate:
        """The most connections to the gateway's database at one time, relative to what its pools may open."""
        most = max(self._ledgers(arm), key=lambda ledger: ledger.connections_max / ledger.connections_allowed)
        return self._counted("connections_ratio", most.connections_max, most.connections_allowed, arm)

    def log_records_missing_ratio(self, arm: str = CANDIDATE) -> Estimate:
        """Share of the requests of which the log sink has no record."""
        sinks = self._sinks(arm)
        missing = sum(max(0, sink.requests - sink.distinct) for sink in sinks)
        return self._counted("log_records_missing_ratio", missing, sum(sink.requests for sink in sinks), arm)

    def log_records_repeated_ratio(self, arm: str = CANDIDATE) -> Estimate:
        """Records that the log sink has more than once, for each request."""
        sinks = self._sinks(arm)
        repeated = sum(sink.records - sink.distinct for sink in sinks)
        return self._counted("log_records_repeated_ratio", repeated, sum(sink.requests for sink in sinks), arm)

    def _percentile(self, metric: str, percentile: float, arm: str, of: "_Of") -> Estimate:
        (values, counts), requests = self._counts([arm], of), self.requests(arm)
        samples = weighted_percentiles(values, counts[0], self._weights(), percentile) / 1000
        return self._estimate(metric, "ms", samples, requests=requests, requests_needed=requests_needed(percentile))

    def _difference(self, metric: str, percentile: float, arm: str, direct: str, of: "_Of") -> Estimate:
        """The same resampled rounds enter both sides, so that what moves both (the host) cancels."""
        values, (through, without) = self._counts([arm, direct], of)
        weights = self._weights()
        samples = (
            weighted_percentiles(values, through, weights, percentile)
            - weighted_percentiles(values, without, weights, percentile)
        ) / 1000
        requests = min(self.requests(arm), self.requests(direct))
        return self._estimate(metric, "ms", samples, requests=requests, requests_needed=requests_needed(percentile))

    def _use(self, window: Window) -> GatewayUse:
        return use_of(window, self.scenario)

    def _cpu_ms_and_completed(self, arm: str) -> "_Sums":
        """CPU time and completed requests of each round."""
        windows = self.of_arm(arm)
        cpu_ms = np.array([self._use(window).cpu_s * 1000 for window in windows])
        return cpu_ms, np.array([window.load.completed for window in windows], dtype=float)

    def _succeeded_and_seconds(self, arm: str) -> "_Sums":
        """Requests that succeeded, and seconds of windows and drains, of each round."""
        windows = self.of_arm(arm)
        succeeded = np.array([window.load.succeeded for window in windows], dtype=float)
        return succeeded, np.array(
            [window.load.drained_mono_s - window.load.window_opened_mono_s for window in windows]
        )

    def _succeeded_and_window_s(self, arm: str) -> "_Sums":
        """Requests that succeeded, and seconds of windows without drains, of each round."""
        loads = [window.load for window in self.of_arm(arm)]
        succeeded = np.array([load.succeeded for load in loads], dtype=float)
        return succeeded, np.array([load.window_closed_mono_s - load.window_opened_mono_s for load in loads])

    def _latency_ms_and_counts(self, arm: str) -> "_Sums":
        """Latency of all requests that were answered, added up, and how many these are, of each round."""
        latencies = [window.load.latency for window in self.of_arm(arm)]
        counts = np.array([latency.count for latency in latencies], dtype=float)
        total_ms = np.array([latency.mean_ms() * latency.count if latency.count else 0.0 for latency in latencies])
        return total_ms, counts

    def _rss_mib_and_ones(self, arm: str) -> "_Sums":
        """Resident memory after each round's window, and what makes a mean of it."""
        rss_mib = np.array([self._use(window).rss_after_bytes / MIB for window in self.of_arm(arm)])
        return rss_mib, np.ones(len(rss_mib))

    def _ledgers(self, arm: str) -> list[LedgerUse]:
        ledgers = [window.ledger for window in self.of_arm(arm) if window.ledger is not None]
        if len(ledgers) < len(self.of_arm(arm)):
            raise Unmeasurable(f"{self.scenario}: arm {arm!r} has no database that perfgate can look into")
        return ledgers

    def _sinks(self, arm: str) -> list[SinkUse]:
        sinks = [window.sink for window in self.of_arm(arm) if window.sink is not None]
        if len(sinks) < len(self.of_arm(arm)):
            raise Unmeasurable(f"{self.scenario}: arm {arm!r} has no callback that logs to perfgate's sink")
        return sinks

    def _counted(self, metric: str, count: float, total: float, arm: str) -> Estimate:
        """A share that was counted and not sampled: it has no interval."""
        if not total > 0:
            raise NotMeasured(f"{self.scenario}: {metric} of arm {arm!r} has nothing to be a share of")
        value, requests = count / total, self.requests(arm)
        rounds = len(self.rounds)
        return Estimate(metric, "", value, value, value, self.confidence, rounds, self.generations, requests)

    def _weights(self) -> npt.NDArray[np.int64]:
        """Row 0 is every round once (the point estimate), the others are resamples; shape (1 + RESAMPLES, rounds)."""
        generation_of_round = np.array([generation for generation, _ in self.rounds])
        resamples = resampled_weights(generation_of_round, RESAMPLES, RESAMPLING_SEED)
        return np.vstack([np.ones((1, len(self.rounds)), dtype=np.int64), resamples])

    def _counts(self, arms: list[str], of: "_Of") -> tuple[npt.NDArray[np.int64], list[npt.NDArray[np.int64]]]:
        """Counts of several arms on common values: values_us (bins,), per arm counts (rounds, bins)."""
        histograms = [[of(window.load) for window in self.of_arm(arm)] for arm in arms]
        for arm, of_arm in zip(arms, histograms, strict=True):
            if len(of_arm) != len(self.rounds):
                raise NotMeasured(
                    f"{self.scenario}: arm {arm!r} has {len(of_arm)} windows in {len(self.rounds)} rounds"
                )
            if not any(histogram.count for histogram in of_arm):
                raise NotMeasured(f"{self.scenario}: arm {arm!r} has no {_WHAT[of]}")
        values = np.unique(np.concatenate([h.values_us for of_arm in histograms for h in of_arm])).astype(np.int64)
        counts = []
        for of_arm in histograms:
            table = np.zeros((len(of_arm), len(values)), dtype=np.int64)
            for row, histogram in enumerate(of_arm):
                table[row, np.searchsorted(values, histogram.values_us)] = histogram.counts
            counts.append(table)
        return values, counts

    def _ratio_of_sums(
        self,
        metric: str,
        unit: str,
        numerators: npt.NDArray[np.float64],
        denominators: npt.NDArray[np.float64],
        arm: str,
    ) -> Estimate:
        if not denominators.sum() > 0:
            raise NotMeasured(f"{self.scenario}: no request of arm {arm!r} was answered")
        samples = weighted_ratios(numerators, denominators, self._weights())
        return self._estimate(metric, unit, samples, requests=self.requests(arm))

    def _ratio_of_arms(self, metric: str, arm: str, than: str, of: Callable[[str], "_Sums"]) -> Estimate:
        """The same resampled rounds enter both sides, so that what moves both (the host) cancels."""
        weights, samples = self._weights(), []
        for name in (arm, than):
            numerators, denominators = of(name)
            if not (np.all(numerators > 0) and np.all(denominators > 0)):
                raise NotMeasured(f"{self.scenario}: in a round no request of arm {name!r} was answered")
            samples.append(weighted_ratios(numerators, denominators, weights))
        requests = min(self.requests(arm), self.requests(than))
        return self._estimate(metric, "", samples[0] / samples[1], requests=requests)

    def _estimate(
        self, metric: str, unit: str, samples: npt.NDArray[np.float64], requests: int, requests_needed: int = 0
    ) -> Estimate:
        interval = interval_of(samples[1:], self.confidence)
        return Estimate(
            metric,
            unit,
            float(samples[0]),
            interval.low,
            interval.high,
            self.confidence,
            len(self.rounds),
            self.generations,
            requests,
            requests_needed,
        )

    def _proportion(self, metric: str, hits: int, trials: int) -> Estimate:
        if trials == 0:
            raise NotMeasured(
                f"{self.scenario}: no request was sent within a window; in a closed loop every user then still waits "
                "for a reply from before it"
            )
        interval = proportion_interval(hits, trials, self.confidence)
        return Estimate(
            metric,
            "",
            hits / trials,
            interval.low,
            interval.high,
            self.confidence,
            len(self.rounds),
            self.generations,
            trials,
        )


def use_of(window: Window, scenario: str) -> GatewayUse:
    """What the gateway used for a window; `scenario` is for the message.

    Raises:
        Unmeasurable: its processes are not ours.
    """
    if window.gateway is None:
        raise Unmeasurable(
            f"{scenario}: CPU and memory of arm {window.arm!r} are not measured: its processes are not ours"
        )
    return window.gateway


_Of = Callable[[LoadResult], Histogram]
#: What is added up over rounds to make a figure, numerator and denominator; shape (rounds,) each.
_Sums = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def _latency(load: LoadResult) -> Histogram:
    return load.latency


def _first_token(load: LoadResult) -> Histogram:
    return load.first_token


def _chunk_gap(load: LoadResult) -> Histogram:
    return load.chunk_gap


def _session_opening(load: LoadResult) -> Histogram:
    return load.session_opening


#: What a histogram is empty of, for a message.
_WHAT: Final[dict[_Of, str]] = {
    _latency: "request that was answered",
    _first_token: "stream with a first token: does the scenario's load say `stream: true`?",
    _session_opening: "realtime session that was created",
    _chunk_gap: "stream of more than one chunk: does the scenario's load say `stream: true`?",
}


def requests_needed(percentile: float) -> int:
    """Tails need 1,000 requests an arm: the p99 then rests on the ten slowest; a median needs 100."""
    return 1_000 if percentile >= 90 else 100
