"""How often does a search for the first bad version name the right one, were it run with these processes of the pool?

Comes in: a pool, a dose, how many versions. Goes out: `SearchRates`. Versions before a certain one are processes
without a dose, all others have it; each question is composed of pairs of processes that were asked in turn, and
answered by the code that answers live ones. No I/O.

A version that is measured again is so with other pairs, as a live one is started anew: no process counts twice for one
version. Different versions do share processes, as gates that are composed of the pool do.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.measurement import Window
from perfgate.history.bisection import LOOKS, Answer, bisect
from perfgate.history.measuring import Version
from perfgate.history.result import Conditions, Measured, Pairs
from perfgate.selftest.doses import CPU_5, CPU_10, NONE, Dose, arm_name
from perfgate.selftest.gates import Pair, Pool, as_one
from perfgate.selftest.pool_file import DIRECT
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Release
from perfgate.stats.decision import Decision

VERSIONS: Final = 8
#: 8 % more CPU, which no window of a pool has: of five rounds two with 5 % and three with 10 %.
CPU_8: Final = (CPU_5, CPU_10, CPU_10, CPU_5, CPU_10)
_CONDITIONS: Final = Conditions("regression", "the pool's", "v0", "", "of-its-time", "", None, 0)


@dataclass(frozen=True, slots=True)
class SearchRates:
    """What composed searches came to.

    Args:
        searches: how many.
        right: shares that named the right version.
        wrong: that named another, or a set of versions without it.
        open: that named no version, or several with the right one among them.
        runs_mean: times that a version was measured, in a search.
    """

    searches: int
    right: float
    wrong: float
    open: float
    runs_mean: float


@dataclass(frozen=True, slots=True)
class Processes:
    """The pool's windows, all that a question needs of a process as one; each is put together once.

    Args:
        pool: of processes.
        rounds: of each process that count, from the first one.
    """

    pool: Pool
    rounds: int
    _as_one: dict[tuple[int, int, tuple[str, ...]], Window] = field(default_factory=dict, repr=False)

    def window(self, batch: int, generation: int, arms: tuple[str, ...]) -> Window:
        """A process' rounds under arms in turn: the first round is of the first arm, and so on."""
        key = (batch, generation, arms)
        if key not in self._as_one:
            windows = [
                window
                for place, arm in enumerate(arms)
                for window in self.pool.windows(batch, arm, generation, self.rounds)
                if window.round % len(arms) == place
            ]
            self._as_one[key] = as_one(sorted(windows, key=lambda window: window.round))
        return self._as_one[key]


def search_rates(
    pool: Pool,
    doses: Sequence[Dose],
    metric: str,
    margin: float | None,
    *,
    rounds: int,
    searches: int,
    seed: int,
    generations: int,
    versions: int = VERSIONS,
) -> SearchRates:
    """Compose searches, each for a version drawn at random.

    Args:
        pool: of processes.
        doses: that the bad versions have, round by round in turn; of several none may have processes of its own.
        metric: searched by.
        margin: see `bisection.bisect`.
        rounds: of each process that count.
        searches: how many.
        seed: of all that is drawn.
        generations: of each question, each time that it is asked.
        versions: in the series; the last is always bad.

    Raises:
        PoolTooSmall: the pool has fewer pairs than the looks at one version need.
    """
    rng = random.Random(seed)
    series = [Version(f"v{number}", GatewaySpec(Release(DEFAULT_RELEASE))) for number in range(versions)]
    processes = Processes(pool, rounds)
    came: Counter[str] = Counter()
    runs = 0
    for _ in range(searches):
        bad_from = rng.randrange(1, versions)
        drawn = {version.name: pool.pairs(generations * LOOKS, rng) for version in series}

        def measure(
            version: Version,
            before: Measured | None,
            bad_from: int = bad_from,
            drawn: Mapping[str, Sequence[Pair]] = drawn,
        ) -> Measured:
            begun = generations * (before.runs if before is not None else 0)
            pairs = drawn[version.name][begun : begun + generations]
            has_dose = series.index(version) >= bad_from
            more = composed(processes, pairs, version.name, doses if has_dose else (NONE,), metric)
            return more if before is None else before.with_more(more)

        answer = bisect(series, metric, margin, measure)
        came[outcome(answer, series[bad_from].name)] += 1
        runs += sum(asked.runs for asked in answer.asked)
    shares: Mapping[str, float] = {name: came[name] / searches for name in ("right", "wrong", "open")}
    return SearchRates(searches, shares["right"], shares["wrong"], shares["open"], runs / searches)


def outcome(answer: Answer, first_bad: str) -> str:
    """`right`, `wrong` or `open`, where the first bad version is known."""
    if answer.first_bad == first_bad:
        return "right"
    if answer.candidates:
        return "open" if first_bad in answer.candidates else "wrong"
    # The bad end is bad, so that "nothing to search for" is wrong.
    return "open" if answer.asked[0].decision is Decision.UNDECIDED else "wrong"


def composed(processes: Processes, pairs: Sequence[Pair], version: str, doses: Sequence[Dose], metric: str) -> Measured:
    """A version beside the good one, as these pairs of processes of the pool would have shown them.

    Args:
        processes: of the pool.
        pairs: one for each start of both.
        version: its name.
        doses: that it has, round by round in turn.
        metric: the only one that it then has.
    """
    found: list[tuple[float, float]] = []
    for pair in pairs:
        direct = [processes.window(pair.batch, 0, (DIRECT,))]
        before = processes.window(pair.batch, pair.generation, (arm_name(pair.baseline, NONE),))
        with_dose = tuple(arm_name(pair.candidate(dose), dose) for dose in doses)
        after = processes.window(pair.batch, pair.generation, with_dose)
        found.append((FIGURES[metric]([before], direct), FIGURES[metric]([after], direct)))
    figures: Mapping[str, Pairs] = {metric: tuple(found)}
    return Measured(version, _CONDITIONS, "", figures, processes.rounds * len(pairs), 0, 0.0, "", "", ())
