"""Which functions take more CPU for each request than they did, and is that more than chance?

Comes in: a `Profile`. Goes out: `Gains`: the functions that gained most, those that lost most, each with what both arms
take and an interval of the difference. No I/O, no words.

    its share of a thread's samples × the thread's CPU by the kernel's clock / requests that were answered

A function's own time is that of its own code; its total time is with all that it calls, so that a function which calls
itself counts once. The round is the unit of the intervals, and above it the generation (stats/resampling.py): windows
of one process are alike, so that samples alone would make them far too narrow.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from perfgate.experiment.arms import BASELINE, CANDIDATE
from perfgate.experiment.measurement import RESAMPLING_SEED
from perfgate.stats.resampling import RESAMPLES, Interval, interval_of, resampled_weights, weighted_ratios
from perfgate.why.folded import Function, Stack, merged, own, with_callees
from perfgate.why.profiling import Profile, ProfiledWindow

#: Of each interval, for itself.
CONFIDENCE: Final = 0.95
#: So many functions are named.
NAMED: Final = 10
#: A function that has more of an arm's CPU below it, such as the event loop's, says nothing by its total.
FRAME_OF_ALL_RATIO: Final = 0.75

_Times = Callable[[Mapping[Stack, float]], dict[Function, float]]


@dataclass(frozen=True, slots=True)
class Change:
    """CPU of both arms for each request, in microseconds.

    Args:
        baseline_us, candidate_us: 0 where no sample found it.
        gain: the interval of the second minus the first.
    """

    baseline_us: float
    candidate_us: float
    gain: Interval

    @property
    def gain_us(self) -> float:
        """How much more the candidate takes; below 0 it takes less."""
        return self.candidate_us - self.baseline_us

    @property
    def is_beyond_spread(self) -> bool:
        """Whether rounds and generations differ by less than the arms do: 0 is not in the interval."""
        return self.gain.low > 0 or self.gain.high < 0


@dataclass(frozen=True, slots=True)
class Gain:
    """What became of one function.

    Args:
        function: it.
        own: of its own code.
        total: with all that it calls.
        is_in_baseline, is_in_candidate: whether any sample of the arm has it.
    """

    function: Function
    own: Change
    total: Change
    is_in_baseline: bool
    is_in_candidate: bool


@dataclass(frozen=True, slots=True)
class Gains:
    """What became of all functions.

    Args:
        gained: by own time, the largest gain first; at most `NAMED`, as in all that follow.
        gained_with_callees: by total time, of functions that both arms have: a new layer has all that it wraps below
            it, and that is no gain. Without functions that have nearly all below them; of those that are in the same
            stacks, as main is with what it hands on to, the one whose own time changed most.
        lost: by own time, the largest loss first.
        appeared: of the candidate's samples alone, the largest first.
        disappeared: of the baseline's alone, likewise.
        all: of all samples, whatever the function.
        functions: how many were seen in either arm.
        by_chance_us: the largest difference of any function's own time between two halves of the baseline's own
            windows, of different generations where there are several. A gain of that size can be chance.
    """

    gained: tuple[Gain, ...]
    gained_with_callees: tuple[Gain, ...]
    lost: tuple[Gain, ...]
    appeared: tuple[Gain, ...]
    disappeared: tuple[Gain, ...]
    all: Change
    functions: int
    by_chance_us: float


def gains_of(profile: Profile) -> Gains:
    """Compare all functions of a profile.

    Raises:
        NotMeasured: an arm has no window.
        ValueError: the two arms were not profiled in the same rounds.
        TooFewRounds: there is one round.
    """
    both = _Both(profile)
    own_us, total_us = both.differences_us(own), both.differences_us(with_callees)
    by_own = sorted(own_us, key=lambda function: (-own_us[function], function))
    gained = [function for function in by_own if own_us[function] > 0][:NAMED]
    lost = [function for function in reversed(by_own) if own_us[function] < 0][:NAMED]
    by_total = sorted(total_us, key=lambda function: (-total_us[function], function))
    seen_before, seen_after = both.seen(BASELINE), both.seen(CANDIDATE)
    told = (seen_before & seen_after) - both.functions_of_all()
    high_up = _one_of_each_chain((f for f in by_total if total_us[f] > 0 and f in told), both.stacks_with(), own_us)
    appeared = [f for f in by_total if f in seen_after and f not in seen_before][:NAMED]
    disappeared = [f for f in reversed(by_total) if f in seen_before and f not in seen_after][:NAMED]
    return Gains(
        gained=tuple(map(both.gain, gained)),
        gained_with_callees=tuple(map(both.gain, high_up[:NAMED])),
        lost=tuple(map(both.gain, lost)),
        appeared=tuple(map(both.gain, appeared)),
        disappeared=tuple(map(both.gain, disappeared)),
        all=both.change(lambda window: sum(window.us.values())),
        functions=len(seen_before | seen_after),
        by_chance_us=_by_chance_us(profile),
    )


class _Both:
    """Counts of both arms in the same rounds, and how often each resample draws each round."""

    def __init__(self, profile: Profile) -> None:
        self._windows = {arm: profile.of_arm(arm) for arm in (BASELINE, CANDIDATE)}
        rounds = [[(window.generation, window.round) for window in self._windows[arm]] for arm in self._windows]
        if rounds[0] != rounds[1]:
            raise ValueError("baseline and candidate must have been profiled in the same rounds")
        resampled = resampled_weights([generation for generation, _ in rounds[0]], RESAMPLES, RESAMPLING_SEED)
        # Row 0 is every round once: the estimate itself.
        self._weights = np.vstack([np.ones((1, len(rounds[0])), dtype=np.int64), resampled])
        self._own = {arm: [own(window.us) for window in self._windows[arm]] for arm in self._windows}
        self._total = {arm: [with_callees(window.us) for window in self._windows[arm]] for arm in self._windows}

    def differences_us(self, times: _Times) -> dict[Function, float]:
        """The gain of every function, without its interval."""
        return _differences_us(self._windows[BASELINE], self._windows[CANDIDATE], times)

    def seen(self, arm: str) -> frozenset[Function]:
        """Functions that any sample of an arm has."""
        return frozenset(function for times in self._total[arm] for function in times)

    def functions_of_all(self) -> frozenset[Function]:
        """Those that have nearly all of either arm's CPU below them."""
        found: set[Function] = set()
        for windows in self._windows.values():
            times = with_callees(merged(window.us for window in windows))
            all_us = sum(sum(window.us.values()) for window in windows)
            found |= {function for function, us in times.items() if us > FRAME_OF_ALL_RATIO * all_us}
        return frozenset(found)

    def stacks_with(self) -> dict[Function, frozenset[int]]:
        """In which stacks of either arm each function is, by number."""
        stacks = {stack for windows in self._windows.values() for window in windows for stack in window.us}
        found: dict[Function, set[int]] = {}
        for number, stack in enumerate(stacks):
            for function in stack:
                found.setdefault(function, set()).add(number)
        return {function: frozenset(numbers) for function, numbers in found.items()}

    def gain(self, function: Function) -> Gain:
        """What became of one function."""
        return Gain(
            function,
            self._change({arm: [times.get(function, 0.0) for times in self._own[arm]] for arm in self._own}),
            self._change({arm: [times.get(function, 0.0) for times in self._total[arm]] for arm in self._total}),
            any(function in times for times in self._total[BASELINE]),
            any(function in times for times in self._total[CANDIDATE]),
        )

    def change(self, us: Callable[[ProfiledWindow], float]) -> Change:
        """Of a time of each window, in microseconds."""
        return self._change({arm: [us(window) for window in self._windows[arm]] for arm in self._windows})

    def _change(self, us: dict[str, list[float]]) -> Change:
        before, after = (self._us_per_request(arm, us[arm]) for arm in (BASELINE, CANDIDATE))
        # The same resampled rounds enter both sides, so that what moves both (the host) cancels.
        return Change(float(before[0]), float(after[0]), interval_of((after - before)[1:], CONFIDENCE))

    def _us_per_request(self, arm: str, us: Sequence[float]) -> npt.NDArray[np.float64]:
        return weighted_ratios(us, [window.requests for window in self._windows[arm]], self._weights)


def _one_of_each_chain(
    functions: Iterable[Function], stacks_with: Mapping[Function, frozenset[int]], own_us: Mapping[Function, float]
) -> list[Function]:
    """Of functions that are in the same stacks the one whose own time changed most; else in the order given."""
    chosen: dict[frozenset[int], Function] = {}
    for function in functions:
        stacks = stacks_with[function]
        # One that only calls others has no time of its own.
        if stacks not in chosen or abs(own_us.get(function, 0.0)) > abs(own_us.get(chosen[stacks], 0.0)):
            chosen[stacks] = function
    return list(chosen.values())


def _by_chance_us(profile: Profile) -> float:
    windows = profile.of_arm(BASELINE)
    generations = sorted({window.generation for window in windows})
    place = {generation: number for number, generation in enumerate(generations)}

    def half(window: ProfiledWindow) -> int:
        return (place[window.generation] if len(generations) > 1 else window.round) % 2

    halves = [[window for window in windows if half(window) == which] for which in (0, 1)]
    differences = _differences_us(halves[0], halves[1], own)
    return max((abs(difference) for difference in differences.values()), default=0.0)


def _differences_us(
    before: Sequence[ProfiledWindow], after: Sequence[ProfiledWindow], times: _Times
) -> dict[Function, float]:
    """CPU for each request in the later windows minus that in the earlier ones, of every function, in microseconds."""
    us: dict[Function, float] = {}
    for sign, windows in ((-1, before), (1, after)):
        requests = sum(window.requests for window in windows)
        for function, of_all in times(merged(window.us for window in windows)).items():
            us[function] = us.get(function, 0.0) + sign * of_all / requests
    return us
