"""What did the replies say that failed?

Comes in: windows as they are measured, with what their generator has kept of such replies. Goes out: a text file beside
the run's record, of no more than `KEPT_MAX` replies. Counts and kinds of all errors are in the record; this is what one
looks at to see why.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perfgate.experiment.measurement import Window

#: Of a run: whoever fails thousands of times says the same.
KEPT_MAX: Final = 200


class FailedRepliesFile:
    """Takes the replies of one run; there is no file before there is a reply.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept = 0

    def keep(self, windows: Sequence[Window]) -> None:
        """Add what failed in these windows; a folder that cannot be written to is no reason to fail."""
        text = ""
        for window in windows:
            for reply in window.load.failed_replies[: KEPT_MAX - self._kept]:
                text += f"{window.arm}, generation {window.generation}, round {window.round}: {reply.kind}\n"
                text += f"{reply.body}\n\n"
                self._kept += 1
        if not text:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            return
