"""Whose fault is it that a version could not be measured: its own, or that of the host?

Comes in: whoever measures versions. Goes out: the same, but what is no version's fault comes out as `HostFailed`, and
ends a search. Without a network no version can be had, and all of them would be left aside, each by its name.
"""

from dataclasses import dataclass

from perfgate.errors import BadInput, StackFailed
from perfgate.history.command import Measurer, say
from perfgate.history.measuring import HostFailed, Version
from perfgate.history.result import Measured
from perfgate.history.series import Standing
from perfgate.stack.sources import PortkeyRelease, RunningUrl


@dataclass(frozen=True, slots=True)
class Blaming:
    """Measures versions, and tells whose fault it is when that fails.

    Args:
        measurer: of the series.
    """

    measurer: Measurer

    def measured(self, version: Version, standing: Standing, run: int = 1) -> Measured:
        """Measure one.

        Raises:
            Unfit: as of the measurer.
            BadInput, StackFailed: it cannot be installed, or does not start or died where the anchor comes up.
            HostFailed: the anchor does not come up either, or nothing can be installed.
        """
        gateway = version.gateway
        assert not isinstance(gateway.source, RunningUrl | PortkeyRelease), "it is installed"
        try:
            # What is wrong with the version itself is bad input: that passes.
            with self.measurer.cache.using(gateway.source, gateway.deps, gateway.with_packages, say=say):
                pass
        except StackFailed as error:
            raise HostFailed(str(error)) from error
        try:
            return self.measurer.measured(version, standing, run)
        except (BadInput, StackFailed) as error:
            say(f"{version.name}: {error}")
            say(f"whether {self.measurer.anchor} comes up here is tried now")
            try:
                self.measurer.check_anchor_starts()
            except (BadInput, StackFailed) as of_host:
                raise HostFailed(str(of_host)) from of_host
            raise
