"""How does the candidate compare with the baseline, metric by metric?

Comes in: a measurement with the arms `baseline` and `candidate`. Goes out: a `Comparison`: the figure of each arm, and
how much slower the candidate is, with its uncertainty. No limits, no words.

A generation gives one figure an arm, over all its rounds; the ratio of the two is one observation. So what differs from
process to process is in the uncertainty, which more rounds alone would not show.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from perfgate.experiment.arms import BASELINE, CANDIDATE
from perfgate.experiment.measurement import MIB, Measurement, NotMeasured, Window, use_of
from perfgate.measure.histogram import Histogram
from perfgate.stats.comparison import Noise, Slowdown, noise_of, slowdown_of

CPU: Final = "cpu_per_request_ms"
RSS: Final = "rss_mib"

#: Fewer pairs of generations show no spread at all.
CONTROL_GENERATIONS_MIN: Final = 4

#: One figure of an arm from the windows of one generation; the third are the direct arm's, of all generations.
Figure = Callable[[Sequence[Window], Sequence[Window]], float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of two arms.

    Args:
        metric: its name in thresholds.yaml.
        baseline, candidate: geometric means of the generations' figures, in the metric's unit.
        slowdown: candidate to baseline, above 1 is worse, whatever the metric.
        rounds: in all generations together.
        requests: of the arm that has fewer.
    """

    metric: str
    baseline: float
    candidate: float
    slowdown: Slowdown
    rounds: int
    generations: int
    requests: int

    @property
    def worse_by(self) -> float:
        """The difference in the metric's unit, above 0 when the candidate is worse."""
        difference = self.candidate - self.baseline
        return -difference if self.metric in MORE_IS_BETTER else difference


def compare(measurement: Measurement, metric: str) -> Comparison:
    """The candidate against the baseline.

    Raises:
        NotMeasured: a window lacks what the metric is made of.
        TooFewGenerations: fewer than 2.
    """
    baseline, candidate = (figures_of(measurement, FIGURES[metric], arm) for arm in (BASELINE, CANDIDATE))
    if baseline.keys() != candidate.keys():
        raise NotMeasured(
            f"{measurement.scenario}: the baseline has windows in the generations {sorted(baseline)}, the candidate in "
            f"{sorted(candidate)}"
        )
    requests = min(measurement.requests(arm) for arm in (BASELINE, CANDIDATE))
    rounds = len(measurement.of_arm(BASELINE))
    return _compared(metric, list(baseline.values()), list(candidate.values()), rounds, requests)


def against(measurement: Measurement, metric: str, figure: float) -> Comparison:
    """The candidate against a figure that is given, such as that of an earlier run; it is taken as free of error.

    Args:
        measurement: with the arm `candidate`.
        metric: of `FIGURES`.
        figure: above 0, in the metric's unit.

    Raises:
        NotMeasured, TooFewGenerations: see `compare`.
    """
    candidate = list(figures_of(measurement, FIGURES[metric], CANDIDATE).values())
    rounds, requests = len(measurement.of_arm(CANDIDATE)), measurement.requests(CANDIDATE)
    return _compared(metric, [figure] * len(candidate), candidate, rounds, requests)


def control(measurement: Measurement, metric: str) -> Comparison | None:
    """Odd against even generations of the baseline: the same thing twice, by the same estimator.

    Returns:
        None where there are too few generations for it.

    Raises:
        NotMeasured: see `compare`.
    """
    figures = list(figures_of(measurement, FIGURES[metric], BASELINE).values())
    if len(figures) < CONTROL_GENERATIONS_MIN:
        return None
    pairs = len(figures) // 2
    odd, even = figures[: 2 * pairs : 2], figures[1 : 2 * pairs : 2]
    return _compared(metric, odd, even, len(measurement.of_arm(BASELINE)), measurement.requests(BASELINE) // 2)


def noise_of_comparison(measurement: Measurement) -> Noise:
    """How far CPU per request of the two arms varies between processes and between rounds, to plan the next one with.

    Raises:
        NotMeasured: an arm's CPU was not measured, or a window had no reply.
        TooFewGenerations, OneRoundEach: see `stats.comparison.noise_of`.
    """
    of_round: dict[str, dict[tuple[int, int], float]] = {BASELINE: {}, CANDIDATE: {}}
    for arm, figures in of_round.items():
        for window in measurement.of_arm(arm):
            figures[window.generation, window.round] = _cpu_per_request_ms([window], ())
    rounds = sorted(of_round[BASELINE].keys() & of_round[CANDIDATE].keys())
    before, after = (_logs(CPU, [of_round[arm][key] for key in rounds]) for arm in (BASELINE, CANDIDATE))
    return noise_of(after - before, [generation for generation, _ in rounds])


def _compared(
    metric: str, baseline: Sequence[float], candidate: Sequence[float], rounds: int, requests: int
) -> Comparison:
    before, after = _logs(metric, baseline), _logs(metric, candidate)
    worse = before - after if metric in MORE_IS_BETTER else after - before
    return Comparison(
        metric,
        float(np.exp(before.mean())),
        float(np.exp(after.mean())),
        slowdown_of(worse),
        rounds,
        len(worse),
        requests,
    )


def _logs(metric: str, figures: Sequence[float]) -> npt.NDArray[np.float64]:
    for figure in figures:
        if not figure > 0:
            raise NotMeasured(f"{metric} is {figure:.3g} in a generation: only figures above 0 have a ratio")
    return np.log(np.asarray(figures, dtype=np.float64))


def figures_of(measurement: Measurement, figure: Figure, arm: str) -> Mapping[int, float]:
    """The arm's figure of each generation, ascending.

    Raises:
        NotMeasured: a window lacks what the figure is made of.
        NoRequests: a generation has no request to make it of.
    """
    direct = [w for a in measurement.arms if a.is_direct for w in measurement.of_arm(a.name)]
    windows: dict[int, list[Window]] = {}
    for window in measurement.of_arm(arm):
        windows.setdefault(window.generation, []).append(window)
    return {generation: figure(of_one, direct) for generation, of_one in sorted(windows.items())}


def _latency_ms(percentile: float) -> Figure:
    return lambda windows, direct: Histogram.merged([w.load.latency for w in windows]).percentile_ms(percentile)


def _overhead_ms(percentile: float) -> Figure:
    def figure(windows: Sequence[Window], direct: Sequence[Window]) -> float:
        if not direct:
            raise NotMeasured("overhead needs a direct arm")
        through = Histogram.merged([window.load.latency for window in windows])
        # Of the whole run: both arms have the same, so that its own noise cancels.
        without = Histogram.merged([window.load.latency for window in direct])
        return through.percentile_ms(percentile) - without.percentile_ms(percentile)

    return figure


def _cpu_per_request_ms(windows: Sequence[Window], direct: Sequence[Window]) -> float:
    completed = sum(window.load.completed for window in windows)
    if completed == 0:
        raise NotMeasured("no request of a generation was answered")
    return sum(use_of(window, "a comparison").cpu_s for window in windows) * 1000 / completed


def _throughput_rps(windows: Sequence[Window], direct: Sequence[Window]) -> float:
    seconds = sum(window.load.drained_mono_s - window.load.window_opened_mono_s for window in windows)
    return sum(window.load.succeeded for window in windows) / seconds


def _rss_mib(windows: Sequence[Window], direct: Sequence[Window]) -> float:
    return float(np.mean([use_of(window, "a comparison").rss_after_bytes for window in windows])) / MIB


#: Every metric that a limit by margin can be set on.
FIGURES: Final[Mapping[str, Figure]] = {
    **{f"latency_p{p}_ms": _latency_ms(p) for p in (50, 95, 99)},
    **{f"overhead_p{p}_ms": _overhead_ms(p) for p in (50, 95, 99)},
    CPU: _cpu_per_request_ms,
    "throughput_rps": _throughput_rps,
    RSS: _rss_mib,
}
#: Where less is the slowdown.
MORE_IS_BETTER: Final = frozenset({"throughput_rps"})
