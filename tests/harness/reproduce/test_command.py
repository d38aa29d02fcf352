"""Does `perfgate reproduce` run what it is asked for, go on where it was, and make the document of all there is?

With tables that only say that they were run, on a bench that starts nothing.
"""

from collections.abc import Callable, Collection, Sequence
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
from perfgate.reproduce.published import PublishedRow
from perfgate.reproduce.reproduced import Reproduced, Unanswered, read
from perfgate.reproduce.resuming import settings_words
from perfgate.reproduce.table import Reproduction, Service
from perfgate.reproduce.tables import TABLES
from perfgate.settings import OPTIONS
from perfgate.stack.callbacks import CallbackName
from tests.harness.conftest import THRESHOLDS
from tests.harness.reproduce.conftest import a_table


@dataclass
class FakeTable:
    name: str
    title: str = "a table"
    published: Sequence[PublishedRow] = ()
    services: Collection[Service] = ()
    callback: CallbackName | None = None
    by_locust: bool = True
    complaints: tuple[str, ...] = ()
    unanswered: tuple[Unanswered, ...] = ()
    planned_minutes: float = 4.0
    load: str = "60 users"
    ran: list[Reproduction] = field(default_factory=list)
    left_s: list[float] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def load_words(self, reproduction: Reproduction) -> str:
        return self.load

    def planned_s(self, reproduction: Reproduction) -> float:
        return self.planned_minutes * 60

    def run(self, bench: StackBench, reproduction: Reproduction) -> Reproduced:
        self.left_s.append(reproduction.time_left_s())
        self.before()
        self.ran.append(reproduction)
        return a_table(
            table=self.name,
            title=self.title,
            complaints=self.complaints,
            unanswered=self.unanswered,
            settings=settings_words(self, reproduction),
            seed=reproduction.settings.seed,
            command=reproduction.command,
        )


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
    for option in OPTIONS:
        monkeypatch.delenv(option.variable, raising=False)
    monkeypatch.setenv("PERFGATE_STACK", "processes")  # whether an engine answers here is no matter
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


def test_the_document_has_the_command_with_every_option_and_without_the_password(
    tables: dict[str, FakeTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFGATE_POSTGRES_URL", "postgresql://me:hunter2@db.example:5432/litellm")
    monkeypatch.setenv("PERFGATE_PRISMA_ENGINE", "wasm")
    strict = Path.cwd() / "strict.yaml"
    strict.write_text(THRESHOLDS)
    options = ("--litellm", "1.79.3", "--minutes", "40", "--again", "--thresholds", str(strict), "--seed", "7")
    assert reproduce(ALL, *options) == ExitCode.OK
    text = Path("docs/reproduction.md").read_text()
    for name in tables:
        assert (
            f"`perfgate reproduce --table {name} --scale auto --minutes 40 --thresholds '…/strict.yaml' --litellm "
            "1.79.3 --stack processes --prisma-engine wasm --postgres-url "
            "'postgresql://me:***@db.example:5432/litellm' --seed 7`, " in text
        )
    assert "hunter2" not in text
    assert str(Path.cwd()) not in text


def test_all_are_run_one_after_the_other(tables: dict[str, FakeTable]) -> None:
    assert reproduce(ALL) == ExitCode.OK
    assert all(len(table.ran) == 1 for table in tables.values())
    text = Path("docs/reproduction.md").read_text()
    assert text.index("the table first") < text.index("the table second")


def test_the_document_has_the_last_run_of_every_table(tables: dict[str, FakeTable]) -> None:
    reproduce(ALL)
    tables["second"].title = "the table second, again"
    assert reproduce("second", "--again", "--document", "docs/other.md") == ExitCode.OK
    text = Path("docs/other.md").read_text()
    assert "## the table first" in text
    assert "## the table second, again" in text


def test_a_table_whose_apparatus_was_not_fit_ends_with_10(tables: dict[str, FakeTable]) -> None:
    tables["second"].complaints = ("the generator sent late",)
    assert reproduce(ALL) == ExitCode.INVALID
    assert "**INVALID" in Path("docs/reproduction.md").read_text()


def test_windows_without_an_answer_are_told_of_and_the_table_stands(
    tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]
) -> None:
    tables["second"].unanswered = (Unanswered("2 instances", 1, 3, "440 http_500"),)
    assert reproduce(ALL) == ExitCode.OK
    words = "o request of 2 instances was answered in 1 of 3 windows; its errors: 440 http_500"
    assert f"second: n{words}\n" in capsys.readouterr().err
    assert f"**N{words}.**" in Path("docs/reproduction.md").read_text()
    reproduce(ALL)
    assert len(tables["second"].ran) == 1


def failing() -> None:
    raise StackFailed("PostgreSQL has ended")


def test_a_table_that_fails_says_so_and_the_others_go_on(
    tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]
) -> None:
    tables["first"].before = failing
    assert reproduce(ALL) == ExitCode.STACK_FAILED
    assert len(tables["second"].ran) == 1
    assert Path(".perfgate/reproduction/second.json").exists()
    assert not Path(".perfgate/reproduction/first.json").exists()
    out, err = capsys.readouterr()
    assert "first: not measured: PostgreSQL has ended" in err
    for text in (out, Path("docs/reproduction.md").read_text()):
        assert "## the table first\n\nNot measured: The run failed: PostgreSQL has ended." in text
        assert "## the table second\n\n`perfgate reproduce" in text


def test_a_table_that_fails_leaves_its_run_of_another_day_but_does_not_show_it_as_its_own(
    tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]
) -> None:
    reproduce(ALL)
    capsys.readouterr()
    tables["first"].before = failing
    assert reproduce(ALL, "--again") == ExitCode.STACK_FAILED
    assert read(Path(".perfgate/reproduction/first.json")).title == "the table first"
    assert "Not measured: The run failed: PostgreSQL has ended." in capsys.readouterr().out
    assert "Not measured" not in Path("docs/reproduction.md").read_text()


def test_where_nothing_was_measured_there_is_no_document(
    tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]
) -> None:
    tables["first"].before = failing
    assert reproduce("first") == ExitCode.STACK_FAILED
    assert not Path("docs/reproduction.md").exists()
    assert "nothing is measured, so docs/reproduction.md is not written" in capsys.readouterr().err


def test_tables_that_were_not_asked_for_say_how_to_run_them(tables: dict[str, FakeTable]) -> None:
    reproduce("second")
    text = Path("docs/reproduction.md").read_text()
    assert "Not measured: It was not run; `perfgate reproduce --table first` runs it." in text


class TestGoingOn:
    def test_a_run_that_was_ended_is_taken_up_where_it_was(
        self, tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]
    ) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        tables["second"].before = interrupt
        assert reproduce(ALL) == ExitCode.INTERRUPTED
        assert "the same command goes on with the rest" in capsys.readouterr().err
        tables["second"].before = lambda: None
        assert reproduce(ALL) == ExitCode.OK
        assert [len(table.ran) for table in tables.values()] == [1, 1]
        err = capsys.readouterr().err
        assert "first   measured 2026-01-01T00:00:00+00:00 with these settings (--again measures it again)" in err
        assert "second (1 of 1): about 4.0 minutes" in err
        text = Path("docs/reproduction.md").read_text()
        assert "## the table first\n\n`perfgate" in text
        assert "## the table second\n\n`perfgate" in text

    def test_what_failed_is_run_again_and_nothing_else(self, tables: dict[str, FakeTable]) -> None:
        tables["first"].before = failing
        reproduce(ALL)
        tables["first"].before = lambda: None
        assert reproduce(ALL) == ExitCode.OK
        assert [len(table.ran) for table in tables.values()] == [1, 1]

    def test_where_nothing_is_missing_nothing_is_run(
        self, tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]
    ) -> None:
        reproduce(ALL)
        capsys.readouterr()
        assert reproduce(ALL) == ExitCode.OK
        assert [len(table.ran) for table in tables.values()] == [1, 1]
        assert "## the table first" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            (["--litellm", "1.79.3"], "it was run with another gateway, source"),
            (["--load", "locust"], "it was run with another generator"),
            (["--seed", "8"], "it was run with seed 7"),
        ],
    )
    def test_other_settings_are_another_run(
        self, tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str], options: list[str], why: str
    ) -> None:
        reproduce("first", "--seed", "7")
        assert reproduce("first", *options) == ExitCode.OK
        assert len(tables["first"].ran) == 2
        assert f"first is run again: {why}" in capsys.readouterr().err

    def test_another_seed_is_none_where_none_is_asked_for(self, tables: dict[str, FakeTable]) -> None:
        reproduce("first", "--seed", "7")
        assert reproduce("first") == ExitCode.OK
        assert len(tables["first"].ran) == 1

    def test_another_load_is_another_run(
        self, tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]
    ) -> None:
        reproduce("first")
        tables["first"].load = "61 users"
        reproduce("first")
        assert len(tables["first"].ran) == 2
        assert "first is run again: it was run with another load" in capsys.readouterr().err

    def test_a_run_that_was_not_fit_is_made_again(
        self, tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]
    ) -> None:
        tables["first"].complaints = ("the generator sent late",)
        assert reproduce("first") == ExitCode.INVALID
        tables["first"].complaints = ()
        assert reproduce("first") == ExitCode.OK
        assert "first is run again: generator, mock and host were not fit" in capsys.readouterr().err

    def test_a_record_that_cannot_be_read_is_no_run(
        self, tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = Path(".perfgate/reproduction")
        folder.mkdir(parents=True)
        for name in tables:
            (folder / f"{name}.json").write_text("{}")
        assert reproduce("first") == ExitCode.OK
        assert "is not a record of this version of perfgate" in capsys.readouterr().err
        text = Path("docs/reproduction.md").read_text()
        assert "## the table first\n\n`perfgate" in text
        assert "## the table second\n\nNot measured: .perfgate/reproduction/second.json is not a record" in text


class TestTime:
    def test_what_each_table_takes_is_said_before_the_first_one(
        self, tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]
    ) -> None:
        tables["second"].planned_minutes = 2
        reproduce(ALL)
        lines = capsys.readouterr().err.splitlines()
        assert lines[:5] == [
            "plan: about 6 minutes, of 25 (--minutes)",
            "  first    4.0 min  the table first",
            "  second   2.0 min  the table second",
            "first (1 of 2): about 4.0 minutes",
            "first: done in 0.0 minutes, .perfgate/reproduction/first.json",
        ]

    def test_tables_share_the_time_by_what_they_are_planned_to_take(self, tables: dict[str, FakeTable]) -> None:
        """Nothing here takes any time, so that the second one has all that is left."""
        tables["second"].planned_minutes = 2
        reproduce(ALL, "--minutes", "9")
        (first_s,), (second_s,) = (table.left_s for table in tables.values())
        assert first_s == pytest.approx(6 * 60, rel=0.05)
        assert second_s == pytest.approx(9 * 60, rel=0.05)

    def test_time_that_is_short_is_said(self, tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]) -> None:
        reproduce(ALL, "--minutes", "5")
        assert "8 minutes are planned and 5 are there" in capsys.readouterr().err


class TestLocust:
    def test_locust_sends_what_it_can_and_perfgate_s_own_generator_the_rest(self, tables: dict[str, FakeTable]) -> None:
        tables["second"].by_locust = False
        assert reproduce(ALL, "--load", "locust", "--locust-workers", "2") == ExitCode.OK
        (first,), (second,) = (table.ran for table in tables.values())
        assert first.settings.locust is not None
        assert first.settings.locust.workers == 2
        assert second.settings.locust is None

    def test_a_table_that_locust_cannot_send_is_refused_where_it_is_the_only_one(
        self, tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]
    ) -> None:
        tables["second"].by_locust = False
        assert reproduce("second", "--load", "locust") == ExitCode.BAD_INPUT
        assert "the table second is of something else" in capsys.readouterr().err
        assert not tables["second"].ran


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scale", "full"], "--scale=full: the page's 4 instances have 16 cores"),
        (["--document", "nowhere/r.md"], "--document nowhere/r.md: there is no folder nowhere"),
        (["--thresholds", "none.yaml"], "none.yaml: there is no such file"),
        (["--litellm", "1.82.7"], "litellm 1.82.7 is refused"),
        (
            ["--litellm", "portkey:1.15.2"],
            "--litellm=portkey:1.15.2: the page's tables are of LiteLLM in several sizes",
        ),
        (["--minutes", "0"], "--minutes 0 must be above 0"),
        (["--locust-workers", "2"], "--locust-workers=2: it goes with --load=locust"),
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


def test_a_table_that_this_host_lacks_something_for_is_left_out(
    tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]
) -> None:
    tables["second"].callback = "webhook"
    assert reproduce(ALL, "--litellm", "1.79.3") == ExitCode.INCOMPLETE
    assert len(tables["first"].ran) == 1
    assert not tables["second"].ran
    assert "second is left out: another release: the callback webhook" in capsys.readouterr().err
    assert "Not measured: Another release: the callback webhook" in Path("docs/reproduction.md").read_text()


def test_what_every_table_needs_is_asked_for_before_anything_is_run(
    tables: dict[str, FakeTable], capsys: pytest.CaptureFixture[str]
) -> None:
    tables["second"].callback = "webhook"
    assert reproduce("second", "--litellm", "1.79.3") == ExitCode.BAD_INPUT
    err = capsys.readouterr().err
    assert "this host lacks what tables need; nothing was started:\n  second needs another release: " in err
    assert not tables["second"].ran


def test_only_tables_that_there_are_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--table", "audio"]) == ExitCode.BAD_INPUT
    err = capsys.readouterr().err
    for name in (*TABLES, ALL):
        assert name in err
