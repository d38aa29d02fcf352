"""Do the intervals and verdicts of perfgate/stats keep their word under the noise that was measured?

    python tools/simulate_method.py

computes what docs/method-simulation.json does not hold yet, writes it there after every cell of a table, and prints the
tables of docs/method.md. A cell with other parameters than those asked for is computed anew. Minutes on one core.

A run is a whole comparison: logarithms of window figures, shape (runs, arms, generations, rounds), in which the truth
is known. Every estimator here shifts along when a log ratio does, so that the arms are drawn equal and a true slowdown
is added to what comes out.
"""

import argparse
import json
import math
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from scipy.special import stdtr, stdtrit

from perfgate.atomic_file import write_atomically
from perfgate.stats.resampling import resampled_weights, weighted_percentiles
from perfgate.stats.sequential import alpha_at_look

Array = npt.NDArray[np.float64]
Logs = Array
Results = dict[str, float]

DATA: Final = Path(__file__).parents[1] / "docs/method-simulation.json"

#: Measured: two processes of one version, and one window of 20 requests (10 % for the pair of a round).
PROCESS_SD: Final = 0.022
WINDOW_SD: Final = 0.10 / math.sqrt(2)
CONFIDENCE: Final = 0.95
ALPHA: Final = 0.05
#: Runs handled at once, so that a chunk stays far below 100 MB.
CHUNK: Final = 250
RESAMPLES: Final = 1_000
#: The bootstrap of percentiles takes a twentieth of a second a run: one for so many of the others.
BOOTSTRAP_EVERY: Final = 20

# --- the noise ---


@dataclass(frozen=True, slots=True)
class Shape:
    """What is drawn: so many comparisons of 2 arms, of so many generations of so many rounds, judged so often."""

    runs: int
    generations: int
    rounds: int
    looks: int = 3

    @property
    def windows(self) -> tuple[int, int, int, int]:
        return self.runs, 2, self.generations, self.rounds


def processes(rng: np.random.Generator, shape: Shape, sd: float = PROCESS_SD) -> Logs:
    return rng.normal(0, sd, (shape.runs, 2, shape.generations, 1))


def windows(rng: np.random.Generator, shape: Shape) -> Logs:
    return rng.normal(0, WINDOW_SD, shape.windows)


def normal(rng: np.random.Generator, shape: Shape) -> Logs:
    return processes(rng, shape) + windows(rng, shape)


def equal_processes(rng: np.random.Generator, shape: Shape) -> Logs:
    return windows(rng, shape)


def with_pauses(rng: np.random.Generator, logs: Logs) -> Logs:
    """One window in twenty is hit by a pause, which only ever makes it slower: by 30 to 100 %."""
    return logs + np.where(rng.random(logs.shape) < 0.05, np.log(rng.uniform(1.3, 2.0, logs.shape)), 0.0)


def heavy_tails(rng: np.random.Generator, shape: Shape) -> Logs:
    return with_pauses(rng, normal(rng, shape))


def slow_processes(rng: np.random.Generator, shape: Shape) -> Logs:
    """One process in eight is 7 % slower for as long as it lives."""
    return normal(rng, shape) + math.log(1.07) * (rng.random((shape.runs, 2, shape.generations, 1)) < 1 / 8)


def rounds_in_turns(shape: Shape) -> npt.NDArray[np.int64]:
    """When each round takes place, (G, R): generations take turns, round by round."""
    return np.arange(shape.generations)[:, np.newaxis] + shape.generations * np.arange(shape.rounds)


def rounds_in_rows(shape: Shape) -> npt.NDArray[np.int64]:
    """When each round takes place, (G, R): between two looks each generation has all its rounds in a row."""
    length = shape.rounds // shape.looks
    look, within = np.divmod(np.arange(shape.rounds), length)
    return look * shape.generations * length + np.arange(shape.generations)[:, np.newaxis] * length + within


def on_host(rng: np.random.Generator, shape: Shape, host: Logs, order: npt.NDArray[np.int64]) -> Logs:
    """The host's slowness at every window: (runs, 2 * all rounds) in order of time, arms in random order in a round."""
    rounds = (shape.runs, shape.generations, shape.rounds)
    second = rng.integers(0, 2, rounds)
    at = np.stack([2 * order + second, 2 * order + 1 - second], axis=1).reshape(shape.runs, -1)
    return np.take_along_axis(host, at, axis=1).reshape(shape.windows)


def drifting_host(rng: np.random.Generator, shape: Shape) -> Logs:
    """It slows down by 20 % over the run, and at some moment by another 15 % for good."""
    slots = 2 * shape.generations * shape.rounds
    now = np.arange(slots) / slots
    stepped = now > rng.random((shape.runs, 1))
    host: Array = np.log(np.where(stepped, 1.15, 1.0) * np.power(1.2, now))
    return on_host(rng, shape, host, rounds_in_turns(shape))


def drift(rng: np.random.Generator, shape: Shape) -> Logs:
    return normal(rng, shape) + drifting_host(rng, shape)


def phases(rng: np.random.Generator, shape: Shape) -> Logs:
    """The host is 25 % slower for phases of 10 windows on average, half of the time."""
    slots = 2 * shape.generations * shape.rounds
    flips = np.cumsum(rng.random((shape.runs, slots)) < 0.1, axis=1) + rng.integers(0, 2, (shape.runs, 1))
    host: Array = math.log(1.25) * (flips % 2).astype(np.float64)
    return normal(rng, shape) + on_host(rng, shape, host, rounds_in_turns(shape))


def neighbour(rng: np.random.Generator, shape: Shape) -> Logs:
    """A neighbour starts at some moment of the run: from then on all windows are 40 % slower and spread three times."""
    order = rounds_in_turns(shape)
    busy = order >= rng.random((shape.runs, 1, 1, 1)) * order.size
    return processes(rng, shape) + math.log(1.4) * busy + windows(rng, shape) * np.where(busy, 3.0, 1.0)


def warming_up(rng: np.random.Generator, shape: Shape) -> Logs:
    """One process, of either arm, is 3 % slower at first than at the end."""
    logs = normal(rng, shape)
    run = np.arange(shape.runs)
    arm, generation = rng.integers(0, 2, shape.runs), rng.integers(0, shape.generations, shape.runs)
    logs[run, arm, generation] += np.linspace(0.03, 0.0, shape.rounds)
    return logs


def autoregressive(rng: np.random.Generator, shape: tuple[int, ...], rho: float) -> Logs:
    """Of the spread of windows, each correlated by rho with the one before it along the last axis."""
    draws = rng.normal(0, WINDOW_SD, shape)
    draws[..., 1:] *= math.sqrt(1 - rho**2)
    correlated: Logs = lfilter([1.0], [1.0, -rho], draws, axis=-1)
    return correlated


def own_memory(rng: np.random.Generator, shape: Shape) -> Logs:
    """A process remembers: its windows are correlated, 0.5 from one round to its next."""
    return processes(rng, shape) + autoregressive(rng, shape.windows, 0.5)


def host_memory(
    rho: float, order: Callable[[Shape], npt.NDArray[np.int64]]
) -> Callable[[np.random.Generator, Shape], Logs]:
    """The host favours one arm for a while: rounds are correlated by rho from one to the next in time."""

    def draw(rng: np.random.Generator, shape: Shape) -> Logs:
        in_time = autoregressive(rng, (shape.runs, 2, shape.generations * shape.rounds), rho)
        return processes(rng, shape) + in_time[:, :, order(shape)]

    return draw


def everything(rng: np.random.Generator, shape: Shape) -> Logs:
    return with_pauses(rng, own_memory(rng, shape) + drifting_host(rng, shape))


@dataclass(frozen=True, slots=True)
class Model:
    words: str
    draw: Callable[[np.random.Generator, Shape], Logs]


MODELS: Final = {
    "normal": Model("processes 2.2 %, rounds 10 %, normal", normal),
    "equal_processes": Model("the same, all processes alike", equal_processes),
    "heavy_tails": Model("5 % of windows slower by 30 to 100 %", heavy_tails),
    "slow_processes": Model("one process in 8 slower by 7 %", slow_processes),
    "drift": Model("host drifts by 20 %, a step of 15 %", drift),
    "phases": Model("host 25 % slower in phases of 5 rounds", phases),
    "neighbour": Model("a busy neighbour starts in mid-run", neighbour),
    "warming_up": Model("one process 3 % slower at first", warming_up),
    "own_memory": Model("a process' rounds correlated by 0.5", own_memory),
    "slight_host_memory": Model("successive rounds correlated by 0.2, in turns", host_memory(0.2, rounds_in_turns)),
    "host_memory": Model("successive rounds correlated by 0.5, in turns", host_memory(0.5, rounds_in_turns)),
    "host_memory_rows": Model("successive rounds correlated by 0.5, in rows", host_memory(0.5, rounds_in_rows)),
    "everything": Model("heavy tails, drift and a process' memory", everything),
}


# --- the contenders ---


def ratios_of(logs: Logs) -> Array:
    """Log ratios of the rounds, (runs, G, R)."""
    return logs[:, 1] - logs[:, 0]


def means(logs: Logs) -> Array:
    """Log ratios of the generations, (runs, G): the plain mean of the rounds'."""
    mean: Array = ratios_of(logs).mean(axis=-1)
    return mean


def trimmed_means(logs: Logs) -> Array:
    """Without the highest and the lowest fifth of the rounds."""
    ascending = np.sort(ratios_of(logs), axis=-1)
    cut = ascending.shape[-1] // 5
    mean: Array = ascending[..., cut : ascending.shape[-1] - cut].mean(axis=-1)
    return mean


def medians(logs: Logs) -> Array:
    median: Array = np.median(ratios_of(logs), axis=-1)
    return median


def sums(logs: Logs) -> Array:
    """Of all that an arm used in a generation over what the other did, such as CPU time."""
    return ratios_of(np.log(np.exp(logs).sum(axis=-1)))


@dataclass(frozen=True, slots=True)
class Ends:
    """Estimates and two-sided intervals of log ratios, each (runs,)."""

    estimate: Array
    low: Array
    high: Array


def t_of(generations: Array) -> Ends:
    estimate, standard_error = moments(generations)
    return around(estimate, standard_error, np.full_like(estimate, generations.shape[-1] - 1))


def moments(generations: Array) -> tuple[Array, Array]:
    """Mean and standard error over the last axis."""
    count = generations.shape[-1]
    return generations.mean(axis=-1), generations.std(axis=-1, ddof=1) / math.sqrt(count)


def around(estimate: Array, standard_error: Array, degrees_of_freedom: Array) -> Ends:
    reach = stdtrit(degrees_of_freedom, (1 + CONFIDENCE) / 2) * standard_error
    return Ends(estimate, estimate - reach, estimate + reach)


def mixed_model(logs: Logs) -> Ends:
    """Analysis of variance; where generations differ less than rounds would make them, they are taken as alike.

    Satterthwaite's degrees of freedom of the one mean square that is left are its own.
    """
    ratios = ratios_of(logs)
    _, generations, rounds = ratios.shape
    by_generation = ratios.mean(axis=-1)
    between = rounds * by_generation.var(axis=-1, ddof=1)
    within = ratios.var(axis=-1, ddof=1).mean(axis=-1)
    mean_square = np.maximum(between, within)
    degrees_of_freedom = np.where(between >= within, generations - 1, generations * (rounds - 1))
    return around(
        by_generation.mean(axis=-1), np.sqrt(mean_square / (generations * rounds)), degrees_of_freedom.astype(float)
    )


def bootstrap(rng: np.random.Generator, logs: Logs) -> Ends:
    """resampling.py's two levels; one table of weights serves a chunk of runs."""
    ratios = ratios_of(logs)
    runs, generations, rounds = ratios.shape
    labels = np.repeat(np.arange(generations), rounds)
    weights = resampled_weights(labels, RESAMPLES, seed=int(rng.integers(2**32)))
    samples = ratios.reshape(runs, -1) @ (weights / labels.size).T
    low, high = np.quantile(samples, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=1)
    return Ends(ratios.mean(axis=(1, 2)), low, high)


def intervals(rng: np.random.Generator, logs: Logs) -> dict[str, Ends]:
    return {
        "t": t_of(means(logs)),
        "t_trimmed": t_of(trimmed_means(logs)),
        "t_median": t_of(medians(logs)),
        "t_sums": t_of(sums(logs)),
        "bootstrap": bootstrap(rng, logs),
        "mixed": mixed_model(logs),
    }


CONTENDERS: Final = {
    "t": "t, mean",
    "t_trimmed": "t, trimmed mean",
    "t_median": "t, median",
    "t_sums": "t, ratio of sums",
    "bootstrap": "bootstrap",
    "mixed": "mixed model",
}


def coverage(rng: np.random.Generator, shape: Shape, model: str) -> Results:
    """How often each interval holds the truth, how wide it is, and how far its estimates spread."""
    found: dict[str, list[Ends]] = {}
    for chunk in chunks(shape):
        for name, ends in intervals(rng, MODELS[model].draw(rng, chunk)).items():
            found.setdefault(name, []).append(ends)
    return merge(summary(name, parts) for name, parts in found.items())


def summary(name: str, parts: list[Ends]) -> Results:
    estimate = np.concatenate([part.estimate for part in parts])
    low, high = (np.concatenate([getattr(part, end) for part in parts]) for end in ("low", "high"))
    return {
        f"{name}.covered": float(np.mean((low <= 0) & (high >= 0))),
        f"{name}.half_width": float(np.mean(high - low) / 2),
        f"{name}.estimate_sd": float(estimate.std(ddof=1)),
    }


# --- a slowdown that is not everywhere ---

#: Every tenth window of the candidate takes twice as long: 10 % more in sum.
SOMETIMES_RATIO: Final = 0.1


def sometimes(rng: np.random.Generator, shape: Shape, model: str) -> Results:
    """What each average sees of a slowdown by 10 % in sum: of all windows, or as every tenth taking twice as long.

    FAIL is one test at ALPHA of one limit of 5 %.
    """
    averages = {"t": means, "t_trimmed": trimmed_means, "t_median": medians, "t_sums": sums}
    found: dict[str, list[Array]] = {}
    for chunk in chunks(shape):
        logs = MODELS[model].draw(rng, chunk)
        everywhere, at_times = logs.copy(), logs.copy()
        everywhere[:, 1] += math.log(1 + SOMETIMES_RATIO)
        at_times[:, 1] += math.log(2) * (rng.random(at_times[:, 1].shape) < SOMETIMES_RATIO)
        for kind, slowed in {"everywhere": everywhere, "sometimes": at_times}.items():
            for name, average in averages.items():
                found.setdefault(f"{name}.{kind}", []).append(average(slowed))
    results: Results = {}
    for name, parts in found.items():
        generations = np.concatenate(parts)
        estimate, standard_error = moments(generations)
        t = (estimate - math.log(1.05)) / standard_error
        results[f"{name}.ratio"] = float(np.exp(estimate.mean()))
        results[f"{name}.fail"] = float(np.mean(stdtr(shape.generations - 1, -t) <= ALPHA))
    return results


# --- tails ---

REQUESTS: Final = 20
PERCENTILES: Final = (95, 99)


def requests(rng: np.random.Generator, shape: Shape) -> Logs:
    """Log latencies, (runs, 2, G, R, REQUESTS): lognormal, and in every seventh window a stall that three share."""
    sizes = (*shape.windows, REQUESTS)
    level = (processes(rng, shape) + windows(rng, shape) / 2).astype(np.float32)
    logs = level[..., np.newaxis] + np.float32(0.25) * rng.standard_normal(sizes, dtype=np.float32)
    stalled = rng.random(shape.windows) < 1 / 7
    waits = rng.exponential(1.0, (int(stalled.sum()), 1)).astype(np.float32)
    first = logs[stalled, :3]
    logs[stalled, :3] = np.log(np.exp(first) + waits)
    return logs


def tails(rng: np.random.Generator, shape: Shape) -> Results:
    """t over the generations' log ratios of percentiles, each of all requests of a generation."""
    found: dict[str, list[Ends]] = {}
    for chunk in chunks(shape, size=20):
        merged = requests(rng, chunk).reshape(chunk.runs, 2, chunk.generations, -1)
        ranks = [math.ceil(percentile * merged.shape[-1] / 100) - 1 for percentile in PERCENTILES]
        ordered = np.partition(merged, ranks, axis=-1)[..., ranks].astype(np.float64)
        for index, percentile in enumerate(PERCENTILES):
            found.setdefault(f"t.p{percentile}", []).append(t_of(ordered[:, 1, :, index] - ordered[:, 0, :, index]))
    return merge(summary(name, parts) for name, parts in found.items())


def tails_bootstrap(rng: np.random.Generator, shape: Shape) -> Results:
    """The two-level bootstrap of the percentiles of everything merged; rounds are drawn for both arms together."""
    labels = np.repeat(np.arange(shape.generations), shape.rounds)
    found: dict[str, list[Ends]] = {}
    for chunk in chunks(shape, size=1):
        (logs,) = requests(rng, chunk)
        bins = np.floor(logs.reshape(2, labels.size, REQUESTS) / 0.01).astype(int)
        least = int(bins.min())
        values = np.arange(least, int(bins.max()) + 1)
        cells = (bins - least) + values.size * np.arange(2 * labels.size).reshape(2, -1, 1)
        counts = np.bincount(cells.ravel(), minlength=2 * labels.size * values.size).reshape(2, labels.size, -1)
        weights = resampled_weights(labels, RESAMPLES // 2, seed=int(rng.integers(2**32)))
        # The first row, every round once, is the estimate itself.
        weights = np.concatenate([np.ones((1, labels.size), dtype=np.int64), weights])
        for percentile in PERCENTILES:
            base, candidate = (0.01 * weighted_percentiles(values, arm, weights, percentile) for arm in counts)
            differences = candidate - base
            low, high = np.quantile(differences[1:], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
            ends = Ends(differences[:1], np.array([low]), np.array([high]))
            found.setdefault(f"bootstrap.p{percentile}", []).append(ends)
    return merge(summary(name, parts) for name, parts in found.items())


# --- the whole rule ---

METRICS: Final = 6
#: Of the metrics of one gate, which share processes and windows.
CORRELATION: Final = 0.7
#: Weights of a weighted Holm procedure that trusts one metric most, such as CPU per request.
WEIGHTS: Final = np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1])


def gate(rng: np.random.Generator, shape: Shape, model: str) -> tuple[Array, Array]:
    """METRICS correlated metrics, (runs, METRICS, looks, G): log ratios so far, and the baseline's own logarithms."""
    draw = MODELS[model].draw
    shared = draw(rng, shape)
    ratios = np.empty((shape.runs, METRICS, shape.looks, shape.generations))
    baselines = np.empty_like(ratios)
    for metric in range(METRICS):
        logs = math.sqrt(CORRELATION) * shared + math.sqrt(1 - CORRELATION) * draw(rng, shape)
        for look in range(shape.looks):
            so_far = logs[..., : shape.rounds * (look + 1) // shape.looks].mean(axis=-1)
            ratios[:, metric, look], baselines[:, metric, look] = so_far[:, 1] - so_far[:, 0], so_far[:, 0]
    return ratios, baselines


def fails_holm(p: Array, alpha: float) -> npt.NDArray[np.bool_]:
    """Holm's rejections among the last axis."""
    return step_down(p, np.full(p.shape[-1], 1 / p.shape[-1]), alpha)


def fails_weighted(p: Array, alpha: float) -> npt.NDArray[np.bool_]:
    return step_down(p, WEIGHTS, alpha)


def step_down(p: Array, weights: Array, alpha: float) -> npt.NDArray[np.bool_]:
    order = np.argsort(p / weights, axis=-1)
    sorted_weights = weights[order]
    left = 1 - np.cumsum(sorted_weights, axis=-1) + sorted_weights
    passes = np.take_along_axis(p, order, axis=-1) * left / sorted_weights <= alpha
    rejected = np.logical_and.accumulate(passes, axis=-1)
    fails = np.empty_like(rejected)
    np.put_along_axis(fails, order, rejected, axis=-1)
    return fails


def fails_hochberg(p: Array, alpha: float) -> npt.NDArray[np.bool_]:
    """Holm's limits from the largest p-value downwards; valid only under a certain positive dependence."""
    order = np.argsort(p, axis=-1)
    steps = np.take_along_axis(p, order, axis=-1) * np.arange(p.shape[-1], 0, -1) <= alpha
    rejected = np.logical_or.accumulate(steps[..., ::-1], axis=-1)[..., ::-1]
    fails = np.empty_like(rejected)
    np.put_along_axis(fails, order, rejected, axis=-1)
    return fails


def fails_in_sequence(p: Array, alpha: float) -> npt.NDArray[np.bool_]:
    """In the fixed order of the metrics, each only when the one before it failed."""
    rejected: npt.NDArray[np.bool_] = np.logical_and.accumulate(p <= alpha, axis=-1)
    return rejected


def fails_unadjusted(p: Array, alpha: float) -> npt.NDArray[np.bool_]:
    return p <= alpha


FAMILIES: Final = {
    "holm": ("Holm", fails_holm),
    "weighted": ("Holm, half of alpha for the first metric", fails_weighted),
    "hochberg": ("Hochberg", fails_hochberg),
    "sequence": ("fixed sequence", fails_in_sequence),
    "unadjusted": ("not adjusted", fails_unadjusted),
}


def scenarios(margin: float) -> dict[str, Array]:
    """True log ratios of the METRICS."""
    equal, boundary, broken = 0.0, math.log(1 + margin), math.log(1 + 2 * margin)

    def last(of_last: float, others: float) -> Array:
        return np.array([others] * (METRICS - 1) + [of_last])

    return {
        "equal": last(equal, equal),
        "boundary_all": last(boundary, boundary),
        "boundary_one": last(boundary, equal),
        "boundary_beside_broken": last(boundary, broken),
        "broken_all": last(broken, broken),
        "broken_one": last(broken, equal),
        "broken_first": last(broken, equal)[::-1],
    }


def rule(
    rng: np.random.Generator, shape: Shape, model: str, margin: float, families: tuple[str, ...] = ("holm",)
) -> Results:
    """Whole gates, look by look until one is clear: how often FAIL and PASS, how often wrongly, and how long it took.

    `control` is the chance that odd against even generations of the baseline get a FAIL.
    """
    parts = [gate(rng, chunk, model) for chunk in chunks(shape)]
    estimate, standard_error = moments(np.concatenate([ratios for ratios, _ in parts]))
    baselines = np.concatenate([baseline for _, baseline in parts])
    pairs = baselines[..., 0::2] - baselines[..., 1::2]
    results: Results = {}
    for family in families:
        for name, truth in scenarios(margin).items():
            outcome = judged(estimate + truth[:, np.newaxis], standard_error, shape, margin, family)
            wrong = outcome.fails[:, truth <= math.log(1 + margin)].any(axis=1)
            of = f"{family}.{name}"
            results[f"{of}.fail"] = float(outcome.fails.any(axis=1).mean())
            results[f"{of}.wrong_fail"] = float(wrong.mean())
            results[f"{of}.pass"] = float(outcome.passed.mean())
            for look in range(1, shape.looks + 1):
                results[f"{of}.stopped_{look}"] = float(np.mean(outcome.look == look))
        control = judged(*moments(pairs), shape, margin, family, degrees_of_freedom=pairs.shape[-1] - 1)
        results[f"{family}.control"] = float(control.fails.any(axis=1).mean())
    return results


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of every run: which metrics failed, whether all passed, and at which look it ended."""

    fails: npt.NDArray[np.bool_]
    passed: npt.NDArray[np.bool_]
    look: npt.NDArray[np.int64]


def judged(
    estimate: Array,
    standard_error: Array,
    shape: Shape,
    margin: float,
    family: str,
    degrees_of_freedom: int | None = None,
) -> Outcome:
    """The rule of family.judge_all and sequential.alpha_at_look, for many runs at once: (runs, METRICS, looks)."""
    _, fails_of = FAMILIES[family]
    runs = len(estimate)
    fails, passed = np.zeros((runs, METRICS), dtype=bool), np.zeros(runs, dtype=bool)
    ended_at = np.zeros(runs, dtype=np.int64)
    t = (estimate - math.log(1 + margin)) / standard_error
    df = shape.generations - 1 if degrees_of_freedom is None else degrees_of_freedom
    for look in range(1, shape.looks + 1):
        alpha = alpha_at_look(ALPHA, look, shape.looks)
        going = ended_at == 0
        fails_now = fails_of(stdtr(df, -t[..., look - 1]), alpha) & going[:, np.newaxis]
        passed_now = (stdtr(df, t[..., look - 1]) <= alpha).all(axis=1) & going
        fails |= fails_now
        passed |= passed_now
        ended_at[fails_now.any(axis=1) | passed_now] = look
    ended_at[ended_at == 0] = shape.looks
    return Outcome(fails, passed, ended_at)


# --- cells ---


def chunks(shape: Shape, size: int = CHUNK) -> Iterator[Shape]:
    for start in range(0, shape.runs, size):
        yield Shape(min(size, shape.runs - start), shape.generations, shape.rounds, shape.looks)


def merge(parts: Iterator[Results]) -> Results:
    return {name: value for part in parts for name, value in part.items()}


#: Generations, and rounds in each: the pilot's, two that take less time, and one for a margin half as wide.
GATE: Final = (10, 66)
WIDER_GATE: Final = (12, 42)
WIDEST_GATE: Final = (16, 18)
RELEASE: Final = (30, 57)
MARGINS: Final = {GATE: 0.05, WIDER_GATE: 0.05, WIDEST_GATE: 0.05, RELEASE: 0.025}
FEW_GENERATIONS: Final = (4, 6, 8, 10, 12, 14)
RULE_MODELS: Final = (
    "normal",
    "heavy_tails",
    "slow_processes",
    "neighbour",
    "own_memory",
    "slight_host_memory",
    "host_memory",
    "host_memory_rows",
    "everything",
)
LOOKS: Final = (1, 2, 3, 4)
TAILS: Final = ((4, 66), (6, 66), GATE, WIDER_GATE, WIDEST_GATE, (10, 22))


@dataclass(frozen=True, slots=True)
class Cell:
    """One simulation: what is asked of it, and how it is answered."""

    key: str
    model: str
    shape: Shape
    parameters: dict[str, Any]
    compute: Callable[[np.random.Generator], Results]

    def asked(self, seed: int) -> dict[str, Any]:
        return {"seed": seed, "resamples": RESAMPLES, **asdict(self.shape), **self.parameters}


def cells(runs: int) -> Iterator[Cell]:
    """All cells of all tables, in their order."""

    def cell(kind: str, of: Callable[..., Results], model: str, shape: Shape, **parameters: Any) -> Cell:
        key = f"{kind}/{model}/{shape.generations}x{shape.rounds}/{shape.looks}"
        arguments = parameters if model == "requests" else {"model": model, **parameters}
        return Cell(key, model, shape, parameters, lambda rng: of(rng, shape, **arguments))

    for model in MODELS:
        yield cell("coverage", coverage, model, Shape(runs, *GATE))
    for generations in FEW_GENERATIONS:
        for model in ("normal", "heavy_tails", "slow_processes"):
            yield cell("few", coverage, model, Shape(runs, generations, 30))
    for model in ("normal", "heavy_tails"):
        yield cell("sometimes", sometimes, model, Shape(runs, *GATE))
    for generations, rounds in TAILS:
        yield cell("tails", tails, "requests", Shape(runs, generations, rounds))
        yield cell(
            "tails_bootstrap", tails_bootstrap, "requests", Shape(max(1, runs // BOOTSTRAP_EVERY), generations, rounds)
        )
    families = tuple(FAMILIES)
    yield cell("families", rule, "normal", Shape(runs, *WIDER_GATE), margin=MARGINS[WIDER_GATE], families=families)
    for size, margin in MARGINS.items():
        for model in RULE_MODELS:
            yield cell("rule", rule, model, Shape(runs, *size), margin=margin)
    for looks in LOOKS:
        yield cell("looks", rule, "normal", Shape(runs, 10, 60, looks), margin=0.05)


# --- tables ---

Held = dict[str, dict[str, Any]]
#: What an interval is asked for: outside, the figure is set in bold.
COVERED: Final = (0.93, 0.97)


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def percent(value: float, digits: int = 1) -> str:
    return f"{value:.{digits}%}".replace("%", " %")


def covered(value: float) -> str:
    return percent(value) if COVERED[0] <= value <= COVERED[1] else f"**{percent(value)}**"


def tables(held: Held) -> list[tuple[str, list[str]]]:
    """Title and Markdown lines of every table; a cell that is not held leaves out its row."""

    def results(key: str) -> Results | None:
        return held[key]["results"] if key in held else None

    def rows(keys: dict[str, str], of: Callable[[Results], list[str]]) -> list[list[str]]:
        return [[label, *of(found)] for label, key in keys.items() if (found := results(key)) is not None]

    size = "{}x{}/3".format(*GATE)
    by_model = {MODELS[model].words: f"coverage/{model}/{size}" for model in MODELS}
    contenders = list(CONTENDERS.values())
    few = {
        f"{MODELS[model].words}, {count} generations": f"few/{model}/{count}x30/3"
        for model in ("normal", "heavy_tails", "slow_processes")
        for count in FEW_GENERATIONS
    }
    averages = ("t", "t_trimmed", "t_median", "t_sums")
    made = [
        (
            "Coverage of 95 % intervals",
            table(
                ["noise", *contenders],
                rows(by_model, lambda found: [covered(found[f"{name}.covered"]) for name in CONTENDERS]),
            ),
        ),
        (
            "Half width of 95 % intervals",
            table(
                ["noise", *contenders],
                rows(by_model, lambda found: [percent(found[f"{name}.half_width"], 2) for name in CONTENDERS]),
            ),
        ),
        (
            "Coverage of 95 % intervals by generations",
            table(
                ["noise", *contenders],
                rows(few, lambda found: [covered(found[f"{name}.covered"]) for name in CONTENDERS]),
            ),
        ),
        (
            "A candidate slower by 10 % in sum",
            table(
                [
                    "noise, slow windows",
                    *(f"{CONTENDERS[name]}: {what}" for name in averages for what in ("sees", "FAIL")),
                ],
                [
                    row
                    for kind, where in (("everywhere", "all by 10 %"), ("sometimes", "every tenth by 100 %"))
                    for row in rows(
                        {
                            f"{MODELS[model].words}, {where}": f"sometimes/{model}/{size}"
                            for model in ("normal", "heavy_tails")
                        },
                        lambda found, kind=kind: [  # type: ignore[misc]
                            text
                            for name in averages
                            for text in (
                                f"{found[f'{name}.{kind}.ratio'] - 1:+.1%}".replace("%", " %"),
                                percent(found[f"{name}.{kind}.fail"], 0),
                            )
                        ],
                    )
                ],
            ),
        ),
    ]
    made.append(("Percentiles of merged histograms", tail_table(results)))
    made.append(("Six limits judged together", family_table(results)))
    for (generations, rounds), margin in MARGINS.items():
        title = f"The whole rule: {generations} generations of {rounds} rounds, margin {percent(margin)}"
        made.append((title, rule_table(results, generations, rounds)))
    made.append(("Looks", look_table(results)))
    return made


def tail_table(results: Callable[[str], Results | None]) -> list[str]:
    lines = []
    for generations, rounds in TAILS:
        by_t = results(f"tails/requests/{generations}x{rounds}/3")
        by_bootstrap = results(f"tails_bootstrap/requests/{generations}x{rounds}/3")
        if by_t is None or by_bootstrap is None:
            continue
        found = by_t | by_bootstrap
        names = [f"{method}.p{percentile}" for percentile in PERCENTILES for method in ("t", "bootstrap")]
        lines.append(
            [f"{generations} of {rounds} rounds"]
            + [
                text
                for name in names
                for text in (covered(found[f"{name}.covered"]), percent(found[f"{name}.half_width"]))
            ]
        )
    head = [
        f"p{percentile} {method}: {what}"
        for percentile in PERCENTILES
        for method in ("t", "bootstrap")
        for what in ("covers", "half width")
    ]
    return table(["generations", *head], lines)


def family_table(results: Callable[[str], Results | None]) -> list[str]:
    found = results("families/normal/{}x{}/3".format(*WIDER_GATE))
    if found is None:
        return []
    at, beyond = f"+{percent(MARGINS[WIDER_GATE])}", f"+{percent(2 * MARGINS[WIDER_GATE])}"
    asked = {
        f"wrong FAIL, all six at {at}": "boundary_all.wrong_fail",
        f"wrong FAIL, one at {at}, five equal": "boundary_one.wrong_fail",
        f"wrong FAIL, one at {at}, five at {beyond}": "boundary_beside_broken.wrong_fail",
        f"FAIL, all six at {beyond}": "broken_all.fail",
        f"FAIL, the first at {beyond}": "broken_first.fail",
        f"FAIL, the last at {beyond}": "broken_one.fail",
        "PASS, all equal": "equal.pass",
    }
    rows = [[words, *(percent(found[f"{family}.{what}"]) for family in FAMILIES)] for words, what in asked.items()]
    return table(["", *(words for words, _ in FAMILIES.values())], rows)


def rule_table(results: Callable[[str], Results | None], generations: int, rounds: int) -> list[str]:
    asked = {
        "wrong FAIL, all at the margin": "boundary_all.wrong_fail",
        "wrong FAIL, one at the margin, five at twice": "boundary_beside_broken.wrong_fail",
        "wrong PASS, one at the margin": "boundary_one.pass",
        "equal: FAIL": "equal.fail",
        "equal: PASS": "equal.pass",
        "all at twice: FAIL": "broken_all.fail",
        "one at twice: FAIL": "broken_one.fail",
        "control: FAIL": "control",
    }
    rows = []
    for model in RULE_MODELS:
        found = results(f"rule/{model}/{generations}x{rounds}/3")
        if found is not None:
            rows.append([MODELS[model].words, *(percent(found[f"holm.{what}"]) for what in asked.values())])
    return table(["noise", *asked], rows)


def look_table(results: Callable[[str], Results | None]) -> list[str]:
    rows = []
    for looks in LOOKS:
        found = results(f"looks/normal/10x60/{looks}")
        if found is None:
            continue
        row = [str(looks), percent(found["holm.boundary_all.wrong_fail"])]
        for scenario, verdict in (("equal", "pass"), ("broken_all", "fail"), ("broken_one", "fail")):
            stopped = [found[f"holm.{scenario}.stopped_{look}"] for look in range(1, looks + 1)]
            used = sum(share * look / looks for look, share in enumerate(stopped, start=1))
            row += [
                percent(found[f"holm.{scenario}.{verdict}"]),
                ", ".join(percent(share, 0) for share in stopped),
                percent(used, 0),
            ]
        rows.append(row)
    head = [
        f"{who}: {what}"
        for who, verdict in (("equal", "PASS"), ("all at twice", "FAIL"), ("one at twice", "FAIL"))
        for what in (verdict, "ends at look 1, 2, …", "rounds used")
    ]
    return table(["looks", "wrong FAIL, all at the margin", *head], rows)


def standard_errors(runs: int) -> str:
    """How sure a share is that so many runs gave, in words."""

    def points(share: float, of: int) -> str:
        return f"{100 * math.sqrt(share * (1 - share) / of):.2f}"

    fewer = max(1, runs // BOOTSTRAP_EVERY)
    return (
        f"Standard error of a share, in points: {points(0.95, runs)} at 95 %, {points(0.5, runs)} at 50 % "
        f"({runs:,} runs a cell); {points(0.95, fewer)} at 95 % for the bootstrap of percentiles ({fewer:,} runs)."
    )


# --- the command ---


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--runs", type=int, default=10_000, help="comparisons simulated in each cell (%(default)s)")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument(
        "--models", nargs="*", default=[*MODELS, "requests"], choices=[*MODELS, "requests"], help="only these (all)"
    )
    made.add_argument("--again", action="store_true", help="also what is there already")
    made.add_argument("--data", type=Path, default=DATA, help="where the results are kept (%(default)s)")
    return made


def main() -> int:
    options = parser().parse_args()
    held = simulate(options.data, options.runs, options.seed, options.models, again=options.again)
    for title, lines in tables(held):
        print(f"\n{title}\n", *lines, sep="\n")
    print(f"\n{standard_errors(options.runs)}")
    return 0


def simulate(data: Path, runs: int, seed: int, models: list[str], *, again: bool) -> Held:
    """Compute what `data` lacks, writing the whole file after each cell; returns what it then holds.

    What no table asks for any more leaves the file.
    """
    found: Held = json.loads(data.read_text(encoding="utf-8")) if data.exists() else {}
    known = {cell.key for cell in cells(runs)}
    held = {key: cell for key, cell in found.items() if key in known}
    if held != found:
        keep(data, held)
    for cell in cells(runs):
        # As they come back from the file, where a tuple is a list.
        asked = json.loads(json.dumps(cell.asked(seed)))
        if cell.model not in models or (not again and held.get(cell.key, {}).get("asked") == asked):
            continue
        started_mono_s = time.monotonic()
        results = cell.compute(np.random.default_rng([seed, zlib.crc32(cell.key.encode())]))
        held[cell.key] = {"asked": asked, "results": {name: round(value, 6) for name, value in results.items()}}
        keep(data, held)
        print(f"{cell.key}: {time.monotonic() - started_mono_s:.1f} s", file=sys.stderr, flush=True)
    return held


def keep(data: Path, held: Held) -> None:
    write_atomically(data, json.dumps(held, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    sys.exit(main())
