"""A `perfgate` whose measuring is a stand-in that reads the truth from the files of what it measures: a program.

    python -m tests.harness.history.stepping LOG bisect-step --good …

LOG gets a line for each measurement that is begun. A working tree's litellm/cost says in its first line what it is: a
number, as slow as that, or why it cannot be measured.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from perfgate.cli import main
from perfgate.errors import BadInput, StackFailed
from perfgate.history.measuring import Question, Version
from perfgate.history.result import Conditions, Measured
from perfgate.history.series import Standing
from perfgate.stack.environments import Environment
from perfgate.stack.sources import Checkout, Installable
from tests.harness.history.conftest import FakeCache, FakeMeasurer, Host, put_in_place

COST: Final = "litellm/cost"
DOES_NOT_BUILD: Final = "does not build"
DOES_NOT_START: Final = "does not start"
#: Between good and bad: no look decides.
AT_THE_LIMIT: Final = "1.1"


def truth_of(source: object) -> str:
    assert isinstance(source, Checkout), "git bisect run asks about the working tree"
    return (source.folder / COST).read_text().partition("\n")[0]


@dataclass
class TreeCache(FakeCache):
    """Installs what builds."""

    @contextmanager
    def using(
        self, source: Installable, deps: Any, with_packages: tuple[str, ...] = (), **more: Any
    ) -> Iterator[Environment]:
        if isinstance(source, Checkout) and truth_of(source) == DOES_NOT_BUILD:
            raise BadInput(f"{source} cannot be installed: its source does not build")
        with super().using(source, deps, with_packages, **more) as environment:
            yield environment


@dataclass
class TreeMeasurer(FakeMeasurer):
    """Finds what the truth says."""

    log: Path = field(kw_only=True)

    def measured(self, version: Version, standing: Standing, run: int = 1) -> Measured:
        with self.log.open("a") as file:
            file.write(f"{version.name}\n")
        truth = truth_of(version.gateway.source)
        if truth == DOES_NOT_START:
            raise StackFailed(f"{version.gateway.source} died\n  its log")
        self.ratios = {version.name: float(truth)}
        return super().measured(version, standing, run)


@dataclass
class TreeHost(Host):
    """Has such a measurer."""

    log: Path = field(kw_only=True)

    def measurer(
        self, question: Question, conditions: Conditions, anchor: object, seed: int, cache: object
    ) -> TreeMeasurer:
        self.seeds.append(seed)
        return self.made(TreeMeasurer, question, conditions, anchor, log=self.log)


def tree_host(log: Path) -> TreeHost:
    return TreeHost(log=log, cache=TreeCache(folder=log.parent / "cache"))


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as in_place:
        put_in_place(tree_host(Path(sys.argv[1])), in_place)
        code = main(sys.argv[2:])
    sys.exit(code)
