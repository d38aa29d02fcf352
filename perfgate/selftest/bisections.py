"""How often does a search for the first bad version name the right one, were it run with these processes of the pool?

Comes in: a pool, a dose, how many versions. Goes out: `SearchRates`. Versions before a certain one are processes
without a dose, all others have it; each question is composed of pairs of processes that were asked in turn, and
answered by the code that answers live ones. No I/O.
"""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.comparison import FIGURES
from perfgate.history.bisection import Answer, bisect
from perfgate.history.measuring import GENERATIONS, Version
from perfgate.history.result import Conditions, Measured, Pairs
from perfgate.selftest.doses import NONE, Dose, arm_name
from perfgate.selftest.gates import Pool
from perfgate.selftest.pool_file import DIRECT
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Release
from perfgate.stats.decision import Decision

VERSIONS: Final = 8
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


def search_rates(
    pool: Pool,
    dose: Dose,
    metric: str,
    margin: float | None,
    *,
    rounds: int,
    searches: int,
    seed: int,
    versions: int = VERSIONS,
    generations: int = GENERATIONS,
) -> SearchRates:
    """Compose searches, each for a version drawn at random.

    Args:
        pool: of processes.
        dose: that the bad versions have.
        metric: searched by.
        margin: see `bisection.bisect`.
        rounds: of each process that count.
        searches: how many.
        seed: of all that is drawn.
        versions: in the series; the last is always bad.
        generations: of each question.

    Raises:
        PoolTooSmall: the pool has fewer pairs than a question has generations.
    """
    rng = random.Random(seed)
    series = [Version(f"v{number}", GatewaySpec(Release(DEFAULT_RELEASE))) for number in range(versions)]
    came: Counter[str] = Counter()
    runs = 0
    for _ in range(searches):
        bad_from = rng.randrange(1, versions)

        def measure(version: Version, before: Measured | None, bad_from: int = bad_from) -> Measured:
            has_dose = series.index(version) >= bad_from
            more = composed(pool, version.name, dose if has_dose else NONE, metric, rounds, generations, rng)
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


def composed(
    pool: Pool, version: str, dose: Dose, metric: str, rounds: int, generations: int, rng: random.Random
) -> Measured:
    """A version beside the good one, as so many pairs of processes of the pool would have shown them."""
    pairs: list[tuple[float, float]] = []
    for pair in pool.pairs(generations, rng):
        direct = [pool.window(pair.batch, DIRECT, 0, rounds)]
        before, after = (
            FIGURES[metric]([pool.window(pair.batch, arm_name(side, of), pair.generation, rounds)], direct)
            for side, of in ((pair.baseline, NONE), (pair.candidate(dose), dose))
        )
        pairs.append((before, after))
    figures: Mapping[str, Pairs] = {metric: tuple(pairs)}
    return Measured(version, _CONDITIONS, "", figures, rounds * generations, 0, 0.0, "", "", ())
