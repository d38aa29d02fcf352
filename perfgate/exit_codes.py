"""Which exit code says what, and which one wins when several apply.

Comes in: the set of codes that a run earned. Goes out: the one the process ends with.
Imports nothing of ours.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """How a perfgate process ends; the README lists the same table."""

    OK = 0  #: no limit failed
    FAIL = 1  #: a limit failed (or an ordinary pytest test did)
    INTERRUPTED = 2  #: as pytest's: Ctrl-C
    INTERNAL = 3  #: as pytest's: an error of the harness itself
    BAD_INPUT = 4  #: options, thresholds.yaml, a release that cannot be had; nothing was started
    INVALID = 10  #: nothing failed, but something could not be judged
    INCOMPLETE = 11  #: a scenario of the profile has no verdict
    STACK_FAILED = 12  #: a service did not start, or died, or the record could not be written
    ALTERED = 13  #: a sign-off bundle, or a record, does not hold what it says


#: When several codes apply, the first of these wins: what is certain and actionable comes first.
PRECEDENCE: Final = (
    ExitCode.INTERRUPTED,
    ExitCode.INTERNAL,
    ExitCode.BAD_INPUT,
    ExitCode.ALTERED,
    ExitCode.FAIL,
    ExitCode.STACK_FAILED,
    ExitCode.INCOMPLETE,
    ExitCode.INVALID,
)


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """The code a process with all these outcomes ends with; `OK` when there are none.

    >>> worst([ExitCode.INVALID, ExitCode.STACK_FAILED, ExitCode.INCOMPLETE])
    <ExitCode.STACK_FAILED: 12>
    """
    earned = set(codes)
    return next((code for code in PRECEDENCE if code in earned), ExitCode.OK)
