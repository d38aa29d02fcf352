"""What is `git bisect run` told by the exit code of a step?

Comes in: a command that ends as perfgate's own do. Goes out: a code that git reads as it is meant. To git, 0 is good,
125 cannot be told, every other code below 128 is bad, and from 128 on it stops and judges nothing (git-bisect(1)). So
bad input, which ends with 4 elsewhere, and an error of ours, which would end Python with 1, must not come through as
they are: git would find a commit to blame for them.
"""

import traceback
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from perfgate.exit_codes import ExitCode

#: The command that `git bisect run` runs.
STEP: Final = "bisect-step"


class GitCode(IntEnum):
    """How a step ends that judged its commit, or could not."""

    GOOD = 0
    BAD = 1
    UNTESTABLE = 125  #: undecided, or it cannot be built or started: git leaves it aside


#: Added to perfgate's own code where no commit is to be judged: git stops. 4, bad input, becomes 132.
STOPS: Final = 128


def for_git(step: Callable[[], int]) -> int:
    """Run a step, and say how it ended in git's codes.

    Args:
        step: returns a `GitCode`, or the `ExitCode` of an error that was told already.
    """
    try:
        code = step()
    except Exception:  # noqa: BLE001 (whatever it is, git must not take it for an answer)
        traceback.print_exc()
        code = ExitCode.INTERNAL
    return code if code in set(GitCode) else STOPS + code
