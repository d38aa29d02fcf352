"""How does a program have Locust run its loads, as it has perfgate's own generator?

Comes in: `LoadJob`s, closed loops alone. Goes out: `LoadResult`s. Starts the process in which Locust's master runs
(locust_master.py), and speaks to it as runner.py does to the generator; Locust itself is never imported here.
"""

import os
import subprocess
from collections.abc import Sequence
from typing import Final

from perfgate.load.locust_fleet import LocustFleet
from perfgate.load.runner import Generator

#: For the master to tell workers elsewhere that the run is over.
LEAVING_S: Final = 5.0


class LocustGenerator(Generator):
    """Locust's master and its workers, there for as many jobs as wanted, one at a time.

    `with LocustGenerator(LocustFleet(workers=2)) as generator: result = generator.run(job)`

    A worker that is lost is not replaced: from then on `LoadResult.workers` has fewer than `workers_expected`.

    Args:
        fleet: how many workers, and where they are.
    """

    def __init__(self, fleet: LocustFleet) -> None:
        self._fleet = fleet

    def close(self) -> None:
        """End the master, in mid-load too, and with it all workers; does nothing when it has ended."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
            try:
                self._process.wait(LEAVING_S)
            except subprocess.TimeoutExpired:
                pass  # it is killed, and workers elsewhere notice after a minute
        super().close()

    def _program(self) -> Sequence[str]:
        fleet = self._fleet
        counts = (str(fleet.workers), str(fleet.expect_workers))
        return "perfgate.load.locust_master", str(os.getpid()), *counts, fleet.bind
