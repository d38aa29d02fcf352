"""What is known of one version beside the anchor?

Values only; what experiment/ measured comes in through measuring.py, and goes to disk through results_file.py.

    Measured  figures of both, a pair for each generation
    LeftOut   why there are none
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final, Literal

from perfgate.experiment.comparison import MORE_IS_BETTER
from perfgate.stack.releases import DepsMode
from perfgate.stats.comparison import Slowdown, slowdown_of

#: Part of every result's conditions: raise it when versions are measured in another way than before.
METHOD: Final = 1

#: The anchor's figure and the version's, of each generation.
Pairs = tuple[tuple[float, float], ...]
Kind = Literal["refused", "not installable", "failed", "unfit"]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under what a version was measured; results of other conditions are not put side by side.

    Args:
        scenario: its name in thresholds.yaml.
        load: of every window, in words.
        anchor: name of the version that all are measured beside.
        anchor_sha256: of its packages and its configuration.
        deps: dependencies of its release's time, or of today; of all versions.
        python_version: `3.11.7`, of all gateways.
        cpu_model, cores: of the host.
        method: see `METHOD`.
    """

    scenario: str
    load: str
    anchor: str
    anchor_sha256: str
    deps: DepsMode
    python_version: str
    cpu_model: str | None
    cores: int
    method: int = METHOD

    def difference(self, now: "Conditions") -> str | None:
        """In what they differ from others, in words; None when they don't.

        >>> a = Conditions("regression", "2 users", "1.79.3", "ab", "of-its-time", "3.11.7", "EPYC", 2)
        >>> replace(a, cores=4).difference(a)
        'cores was 4, is 2'
        """
        for field in fields(self):
            was, is_now = getattr(self, field.name), getattr(now, field.name)
            if was != is_now:
                return f"{field.name} was {was}, is {is_now}"
        return None


@dataclass(frozen=True, slots=True)
class Measured:
    """A version's figures beside the anchor's.

    Args:
        version: its name in the series.
        conditions: of the measurement.
        content_sha256: of its packages and its configuration.
        figures: by metric, in its unit.
        rounds: in all generations together.
        requests: of the arm that has fewer.
        runs: how often both were started in rows: more than once where more was to be known.
        minutes: that it took.
        measured_utc: when it was done (ISO 8601).
        perfgate_version: that measured it.
        seeds: of the orders, one for each run.
        notes: what a report has to say beside the figures.
    """

    version: str
    conditions: Conditions
    content_sha256: str
    figures: Mapping[str, Pairs]
    rounds: int
    requests: int
    minutes: float
    measured_utc: str
    perfgate_version: str
    seeds: tuple[int, ...]
    runs: int = 1
    notes: tuple[str, ...] = ()

    def slowdown(self, metric: str) -> Slowdown:
        """The version against the anchor: above 1 is worse, whatever the metric.

        Raises:
            KeyError: the metric was not measured.
            TooFewGenerations: fewer than two pairs.
        """
        sign = -1 if metric in MORE_IS_BETTER else 1
        return slowdown_of([sign * math.log(after / before) for before, after in self.figures[metric]])

    def with_more(self, later: "Measured") -> "Measured":
        """The same version, with the generations of another run."""
        metrics = [metric for metric in self.figures if metric in later.figures]
        return replace(
            later,
            figures={metric: self.figures[metric] + later.figures[metric] for metric in metrics},
            rounds=self.rounds + later.rounds,
            requests=self.requests + later.requests,
            minutes=self.minutes + later.minutes,
            seeds=self.seeds + later.seeds,
            runs=self.runs + later.runs,
            notes=tuple(dict.fromkeys((*self.notes, *later.notes))),
        )


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A version without figures.

    Args:
        version: its name in the series.
        kind: why, in a word or two.
        reason: why, in a sentence.
        tried_utc: when it was tried (ISO 8601); empty for one that is refused.
    """

    version: str
    kind: Kind
    reason: str
    tried_utc: str = ""


Result = Measured | LeftOut
