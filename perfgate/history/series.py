"""Which versions of a series are still to be measured, and what becomes of each?

Comes in: versions in order, what is known already, and whoever measures one. Goes out: a result for every version. What
is measured is on the disk before the next one begins, so that a run that ends, however it ends, is taken up where it
was. A version that could not be measured is tried again by the next run: the reason may be gone.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from perfgate.errors import BadInput, StackFailed
from perfgate.history.measuring import Unfit, Version
from perfgate.history.result import Conditions, LeftOut, Measured, Result
from perfgate.history.results_file import read_results, write_result

#: What a version takes beside the minutes it is measured for: installing it, starting a bench, stopping all; to plan
#: with until the first one is done.
BESIDE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a series stands, for whoever shows it.

    Args:
        version: that is measured now.
        number, of: its place among those that are measured in this run.
        began_mono_s: when it was begun.
        each_s: what one takes, as far as is known.
    """

    version: str
    number: int
    of: int
    began_mono_s: float
    each_s: float

    def left_s(self, now_mono_s: float) -> float:
        """Of the whole series."""
        of_this = max(0.0, self.each_s - (now_mono_s - self.began_mono_s))
        return of_this + (self.of - self.number) * self.each_s

    def words(self, now_mono_s: float) -> str:
        """`1.82.6 (3 of 12), about 38 min left`."""
        return f"{self.version} ({self.number} of {self.of}), about {self.left_s(now_mono_s) / 60:.0f} min left"


def stale(known: Measured, conditions: Conditions, content_sha256: str | None) -> str | None:
    """Why a result is not of what is asked for now, in words; None when it is.

    Args:
        known: the result.
        conditions: of the series now.
        content_sha256: of the version now; None where that cannot be known without installing it.
    """
    difference = known.conditions.difference(conditions)
    if difference is not None:
        return difference
    if content_sha256 is not None and content_sha256 != known.content_sha256:
        return "its packages or its configuration are others now"
    return None


def measure_missing(
    versions: Sequence[Version],
    folder: Path,
    *,
    conditions: Conditions,
    content_of: Callable[[Version], str | None],
    measure: Callable[[Version, Standing], Measured],
    minutes_each: float,
    say: Callable[[str], None],
    clock_mono_s: Callable[[], float] = time.monotonic,
) -> Mapping[str, Result]:
    """Measure what is missing or stale.

    Args:
        versions: of the series, in order.
        folder: of the results.
        conditions: of the series.
        content_of: a version's `content_sha256` as it would be measured now; see `stale`.
        measure: measures one; raises Unfit, BadInput or StackFailed.
        minutes_each: that it will take for one.
        say: called with a line for every version.
        clock_mono_s: tells the time.

    Returns:
        By version, in the order of the series.

    Raises:
        BadInput: a result in the folder cannot be read.
        StackFailed: a result could not be written.
        KeyboardInterrupt: it was ended; what was measured before is kept.
    """
    kept: dict[str, Result] = {}
    known = read_results(folder)
    for version in versions:
        before = known.get(version.name)
        if not isinstance(before, Measured):
            continue
        why = stale(before, conditions, content_of(version))
        if why is None:
            kept[version.name] = before
            say(f"{version.name} is measured already ({before.measured_utc})")
        else:
            say(f"{version.name} is measured anew: {why}")
    missing = [version for version in versions if version.name not in kept]
    began_all_mono_s = clock_mono_s()
    each_s = minutes_each * 60 + BESIDE_S
    for number, version in enumerate(missing, 1):
        standing = Standing(version.name, number, len(missing), clock_mono_s(), each_s)
        result = _result(version, standing, measure)
        write_result(folder, result)
        kept[version.name] = result
        say(f"{version.name}: " + (f"not measured ({result.reason})" if isinstance(result, LeftOut) else "measured"))
        each_s = (clock_mono_s() - began_all_mono_s) / number
    return {version.name: kept[version.name] for version in versions}


def _result(version: Version, standing: Standing, measure: Callable[[Version, Standing], Measured]) -> Result:
    now_utc = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        return measure(version, standing)
    except Unfit as error:
        return LeftOut(version.name, "unfit", _for_others(error), now_utc)
    except BadInput as error:
        return LeftOut(version.name, "not installable", _for_others(error), now_utc)
    except StackFailed as error:
        return LeftOut(version.name, "failed", _for_others(error), now_utc)


def _for_others(error: Exception) -> str:
    """What it says, without the name of the user's home: results are published."""
    return str(error).replace(f"{Path.home()}/", "~/")
