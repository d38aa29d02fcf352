"""Which tests have to stay together when xdist spreads them over workers?

Comes in: items, in a worker; the groups of all tests, in the controller. Goes out: a scheduler that gives a group to
one worker. It honours `pytest.mark.xdist_group` as `--dist=loadgroup` does, but needs no such option, and learns the
groups from the workers instead of from the tests' names: with pytest 9.2 and xdist 3.8 that option groups nothing,
without a word (pytest-dev/pytest-xdist#1386), since names can no longer be changed.
"""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]


def groups_of(items: list[pytest.Item]) -> dict[str, str]:
    """The group of each item that has one, by its name; several marks make one group of their own."""
    found = {}
    for item in items:
        names = {str(mark.args[0] if mark.args else mark.kwargs["name"]) for mark in item.iter_markers("xdist_group")}
        if names:
            found[item.nodeid] = "_".join(sorted(names))
    return found


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """One test after the other to whoever is free; a group as a whole.

    Args:
        config, log: xdist's.
        group_of: each test's group by its name; may grow until the workers have collected.
    """

    def __init__(self, config: pytest.Config, log: Any, group_of: dict[str, str]) -> None:
        super().__init__(config, log)
        self._group_of = group_of

    def _split_scope(self, nodeid: str) -> str:
        """What xdist keeps together has the same answer here."""
        return self._group_of.get(nodeid, nodeid)
