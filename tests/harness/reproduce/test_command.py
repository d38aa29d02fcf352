"""Does `perfgate reproduce` run what it is asked for, keep it, and make the document of all there is?

With tables that only say that they were run, on a bench that starts nothing.
"""

from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from perfgate.cli import main
from perfgate.errors import StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.experiment.bench import StackBench
from perfgate.reproduce import command
from perfgate.reproduce.command import ALL
from perfgate.reproduce.reproduced import Reproduced, read
from perfgate.reproduce.table import Reproduction, Service
from perfgate.reproduce.tables import TABLES
from perfgate.stack.callbacks import CallbackName
from tests.harness.conftest import THRESHOLDS
from tests.harness.reproduce.conftest import a_table


@dataclass
class FakeTable:
    name: str
    title: str = "a table"
    services: Collection[Service] = ()
    callback: CallbackName | None = None
    complaints: tuple[str, ...] = ()
    ran: list[Reproduction] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def run(self, bench: StackBench, reproduction: Reproduction) -> Reproduced:
        self.before()
        self.ran.append(reproduction)
        return a_table(table=self.name, title=self.title, complaints=self.complaints)


class FakeBench:
    def __init__(self, *arguments: Any, **options: Any) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, FakeTable]:
    fakes = {name: FakeTable(name, f"the table {name}") for name in ("first", "second")}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "TABLES", fakes)
    monkeypatch.setattr(command, "StackBench", FakeBench)
    # This test has a lease already, as all of the harness do.
    monkeypatch.setattr("perfgate.lease.Lease.exclusive", lambda self, what, say: nullcontext())
    (tmp_path / "thresholds.yaml").write_text(THRESHOLDS)
    (tmp_path / "docs").mkdir()
    return fakes


def reproduce(table: str, *options: str) -> int:
    return main(["reproduce", "--table", table, *options])


def test_a_table_is_run_kept_and_set_beside_the_page(
    tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce("first", "--litellm", "1.79.3", "--seed", "7") == ExitCode.OK
    (asked,) = tables["first"].ran
    assert str(asked.settings.gateway) == "litellm 1.79.3"
    assert asked.settings.seed == 7
    assert asked.scale.name == "auto"
    assert not tables["second"].ran
    assert read(Path(".perfgate/reproduction/first.json")).title == "the table first"
    out, err = capsys.readouterr()
    assert "## the table first" in out
    assert "the think-time law, users / (think time + latency), is confirmed" in err
    assert "## the table first" in Path("docs/reproduction.md").read_text()


def test_all_are_run_one_after_the_other(tables: dict[str, FakeTable]) -> None:
    assert reproduce(ALL) == ExitCode.OK
    assert all(len(table.ran) == 1 for table in tables.values())
    text = Path("docs/reproduction.md").read_text()
    assert text.index("the table first") < text.index("the table second")


def test_the_document_has_the_last_run_of_every_table(tables: dict[str, FakeTable]) -> None:
    reproduce(ALL)
    tables["second"].title = "the table second, again"
    assert reproduce("second", "--document", "docs/other.md") == ExitCode.OK
    text = Path("docs/other.md").read_text()
    assert "## the table first" in text
    assert "## the table second, again" in text


def test_a_table_whose_apparatus_was_not_fit_ends_with_10(tables: dict[str, FakeTable]) -> None:
    tables["second"].complaints = ("the generator sent late",)
    assert reproduce(ALL) == ExitCode.INVALID
    assert "**INVALID" in Path("docs/reproduction.md").read_text()


def test_tables_that_were_done_before_one_broke_off_are_kept(
    tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise StackFailed("PostgreSQL has ended")

    tables["second"].before = fail
    assert reproduce(ALL) == ExitCode.STACK_FAILED
    assert Path(".perfgate/reproduction/first.json").exists()
    assert "error: PostgreSQL has ended" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scale", "full"], "--scale=full: the page's 4 instances have 16 cores"),
        (["--document", "nowhere/r.md"], "--document nowhere/r.md: there is no folder nowhere"),
        (["--thresholds", "none.yaml"], "none.yaml: there is no such file"),
        (["--litellm", "1.82.7"], "litellm 1.82.7 is refused"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_run(
    tables: dict[str, FakeTable],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    words: str,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    assert reproduce("first", *options) == ExitCode.BAD_INPUT
    assert words in capsys.readouterr().err
    assert not tables["first"].ran


def test_what_tables_need_is_asked_for_before_anything_is_run(
    tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]
) -> None:
    tables["second"].callback = "webhook"
    assert reproduce(ALL, "--litellm", "1.79.3") == ExitCode.BAD_INPUT
    err = capsys.readouterr().err
    assert "this host lacks what tables need; nothing was started:\n  second needs another release: " in err
    assert not tables["first"].ran


def test_only_tables_that_there_are_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--table", "realtime"]) == ExitCode.BAD_INPUT
    err = capsys.readouterr().err
    for name in (*TABLES, ALL):
        assert name in err
