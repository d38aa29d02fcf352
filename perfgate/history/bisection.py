"""Which version of a series is the first that is worse than the good one by more than a margin, and how sure is that?

Comes in: versions in order, a metric, a margin, and whoever measures a version beside the good one. Goes out: an
`Answer`. The search is that of stats/bisection.py; here stands what a question is: the version and the good one are
started and asked in turn, and where that leaves it open, both are started again, and all starts count together.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from perfgate.errors import BadInput, StackFailed
from perfgate.history.measuring import HostFailed, Unfit, Version
from perfgate.history.result import Measured
from perfgate.stats.bisection import ALPHA, confidence, first_bad, judged_at, questions_planned, share_of_look
from perfgate.stats.comparison import Slowdown
from perfgate.stats.decision import Decision
from perfgate.verdict import percent_words

#: How often a version is measured at most: each time doubles, or nearly so, what is known of it.
LOOKS: Final = 3
#: Where the margin is half of what the ends differ by, they are measured until the standard error of that is at most
#: this share of it, or the last look is taken: an error of the limit is one of every answer.
ENDS_KNOWN_TO: Final = 0.1


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of one version.

    Args:
        version: its name.
        decision: FAIL is bad, PASS is good.
        slowdown: against the good one; None where it has none.
        runs: how often it was measured.
        alpha: the error that the last look could make; the ends of its interval are `slowdown.low(alpha)` and `high`.
        why: why nothing is known; empty where something is.
    """

    version: str
    decision: Decision
    slowdown: Slowdown | None
    runs: int
    alpha: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search came to.

    Args:
        metric: that was asked about.
        good, bad: the two ends.
        allowed_ratio: the slowdown ratio against the good end up to which a version is good.
        asked: in the order of time, the bad end first.
        last_good: the last version that is known to be good.
        candidates: the versions one of which is the first bad one; empty where nothing was found.
        confidence: the chance, at least, that no answer on the way was wrong.
    """

    metric: str
    good: str
    bad: str
    allowed_ratio: float
    asked: tuple[Asked, ...]
    last_good: str
    candidates: tuple[str, ...]
    confidence: float

    @property
    def first_bad(self) -> str | None:
        """The first bad version; None where that is not decided."""
        return self.candidates[0] if len(self.candidates) == 1 else None


def bisect(
    versions: Sequence[Version],
    metric: str,
    margin: float | None,
    measure: Callable[[Version, Measured | None], Measured],
    *,
    known: Callable[[Version], Measured | None] = lambda version: None,
    looks: int = LOOKS,
    alpha: float = ALPHA,
    say: Callable[[str], None] = lambda line: None,
) -> Answer:
    """Search for the first bad version.

    Args:
        versions: in order; the first is good, the last is taken for bad, which is looked at first.
        metric: one of `KEPT`.
        margin: the slowdown that is allowed, 0.1 for 10 %; None for half of what the two ends are found to differ by,
            as a ratio: a version is bad when it is nearer to the bad end.
        measure: measures a version beside the first one, and adds what is given, if anything; raises Unfit, BadInput
            or StackFailed for this version, HostFailed for all.
        known: what is measured of a version already.
        looks: how often a version is measured at most.
        alpha: the chance of a wrong answer, all questions together.
        say: called with a line for each look.

    Raises:
        ValueError: fewer than two versions.
        HostFailed: as of `measure`.
    """
    last = len(versions) - 1
    alpha_each = alpha / questions_planned(last)
    asking = _Asking(metric, measure, known, looks, alpha_each, say)
    good, bad = versions[0].name, versions[-1].name
    allowed = 1.0 if margin is None else 1 + margin
    ends = asking.judged(versions[-1], allowed, known_to=ENDS_KNOWN_TO if margin is None else math.inf)
    if ends.decision is not Decision.FAIL or ends.slowdown is None:
        return Answer(metric, good, bad, allowed, (ends,), good, (), confidence(1, alpha_each))
    if margin is None:
        allowed = math.sqrt(ends.slowdown.ratio)
        say(f"a version is bad when it is more than {percent_words(allowed)} against {good}: half way to {bad}")
    asked = [ends]

    def judged(member: int) -> Decision:
        asked.append(asking.judged(versions[member], allowed))
        return asked[-1].decision

    found = first_bad(last, judged)
    return Answer(
        metric,
        good,
        bad,
        allowed,
        tuple(asked),
        versions[found.last_good].name,
        tuple(versions[member].name for member in found.candidates),
        # What could not be had was not answered, and so not wrongly.
        confidence(sum(one.runs > 0 for one in asked), alpha_each),
    )


def ask(
    version: Version,
    metric: str,
    allowed: float,
    measure: Callable[[Version, Measured | None], Measured],
    *,
    known: Callable[[Version], Measured | None] = lambda version: None,
    looks: int = LOOKS,
    alpha: float,
    say: Callable[[str], None] = lambda line: None,
) -> Asked:
    """Judge one version as a search judges each of its own.

    Args:
        version: to be judged.
        metric: one of `KEPT`.
        allowed: the slowdown ratio up to which it is good.
        measure, known, looks, say: as of `bisect`.
        alpha: the chance of a wrong answer to this one question, all looks together.

    Raises:
        HostFailed: as of `measure`.
    """
    return _Asking(metric, measure, known, looks, alpha, say).judged(version, allowed)


@dataclass(frozen=True, slots=True)
class _Asking:
    """How a version is judged; arguments are those of `bisect`, but for `alpha_each`: that of one question."""

    metric: str
    measure: Callable[[Version, Measured | None], Measured]
    known: Callable[[Version], Measured | None]
    looks: int
    alpha_each: float
    say: Callable[[str], None]

    def judged(self, version: Version, allowed: float, known_to: float = math.inf) -> Asked:
        """Measure a version until it is decided, or the last look is taken.

        Args:
            version: to be judged.
            allowed: the slowdown ratio up to which it is good.
            known_to: go on, also when it is bad, until the standard error is at most this share of the log ratio.
        """
        result = self.known(version)
        # Looks at what was known before are over: each run that is there has had its look.
        look = result.runs if result is not None else 0
        found = self._looked(version, result, allowed, look) if result is not None else None
        why = ""
        while look < self.looks and not _is_enough(found, known_to):
            look += 1
            try:
                result = self.measure(version, result)
            except Unfit as error:
                why = str(error)  # a look that is not taken leaves its share unused
                self.say(f"{version.name}: {why}")
                continue
            except HostFailed:
                raise  # the next version would fare no better
            except (BadInput, StackFailed) as error:
                why = str(error)
                self.say(f"{version.name}: {why}")
                break
            now = self._looked(version, result, allowed, look)
            if found is not None and found.decision is Decision.FAIL and now.slowdown is not None:
                now = replace(now, decision=Decision.FAIL)  # it was decided; only its size was to be known better
            found = now
        return found or Asked(version.name, Decision.UNDECIDED, None, 0, self.alpha_each, why)

    def _looked(self, version: Version, result: Measured, allowed: float, look: int) -> Asked:
        if self.metric not in result.figures:
            why = f"{self.metric} was not measured"
            return Asked(version.name, Decision.UNDECIDED, None, result.runs, self.alpha_each, why)
        look = min(look, self.looks)
        alpha = share_of_look(self.alpha_each, look, self.looks)
        slowdown = result.slowdown(self.metric)
        decision = judged_at(slowdown, allowed, alpha=self.alpha_each, look=look, looks=self.looks)
        word = {Decision.FAIL: "bad", Decision.PASS: "good", Decision.UNDECIDED: "not decided yet"}[decision]
        self.say(f"{version.name}: {percent_words(slowdown.ratio)} after {result.runs} of {self.looks} runs: {word}")
        return Asked(version.name, decision, slowdown, result.runs, alpha)


def _is_enough(found: Asked | None, known_to: float) -> bool:
    if found is None or found.decision is Decision.UNDECIDED or found.slowdown is None:
        return False
    is_known = found.slowdown.standard_error <= known_to * abs(found.slowdown.log_mean)
    return found.decision is Decision.PASS or is_known
