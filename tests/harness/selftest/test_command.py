"""`perfgate selftest`: are batches made once, taken up again, and judged into files that agree with what is printed?"""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from perfgate.cli import main
from perfgate.exit_codes import ExitCode
from perfgate.experiment.rounds import Progress
from perfgate.selftest import command
from perfgate.selftest.collection import Batch
from perfgate.selftest.doses import DOSES
from perfgate.selftest.pool_file import arms_of, write_batch
from perfgate.selftest.rivals import RIVALS
from perfgate.selftest.tables import tables
from tests.harness.selftest.conftest import FACTS, batch

ROOT: Final = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Batches that were asked for; none is measured, each is made up."""
    asked: list[Batch] = []

    class Bench:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def __enter__(self) -> "Bench":
            return self

        def __exit__(self, *_: object) -> None: ...

    def collected(bench: Any, of: Batch, on_progress: Callable[[Progress], None]) -> None:
        asked.append(of)
        on_progress(Progress("none, generation 1, round 1", 0, 100, 10.0))
        write_batch(of.path, of.facts, batch(of.pairs, of.facts.rounds_planned).windows)

    @contextlib.contextmanager
    def at_once(self: Any, what: str, say: Callable[[str], None]) -> Iterator[None]:
        yield

    monkeypatch.setattr(command, "StackBench", Bench)
    monkeypatch.setattr(command, "collect", collected)
    monkeypatch.setattr("perfgate.lease.Lease.exclusive", at_once)
    return asked


def collect(folder: Path, *more: str) -> int:
    return main(["selftest", "collect", "--pool", str(folder), "--litellm", "1.79.3", *more])


SMALL: Final = ("--batches", "2", "--pairs", "2", "--rounds", "12")


def test_batches_are_made_with_the_load_of_the_comparison_and_what_was_asked_for(
    tmp_path: Path, made: list[Batch], capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect(tmp_path / "pool", *SMALL, "--seed", "7") == ExitCode.OK
    assert [of.path.name for of in made] == ["batch-1.npz", "batch-2.npz"]
    assert [of.facts.seed for of in made] == [8, 9]
    for of in made:
        assert (of.pairs, of.facts.rounds_planned, of.facts.release) == (2, 12, "1.79.3")
        assert (of.facts.users, of.facts.window_s, of.facts.direct_rps) == (2, 0.15, 60)
        assert of.facts.arms == tuple(arm.name for arm in arms_of("1.79.3"))
    assert "batch 1: window 1 of 100, none, generation 1, round 1" in capsys.readouterr().err


def test_batches_that_are_there_stay_and_one_that_broke_off_is_made_anew(
    tmp_path: Path, made: list[Batch], capsys: pytest.CaptureFixture[str]
) -> None:
    write_batch(tmp_path / "batch-1.npz", replace(FACTS, rounds_planned=12), batch(2, 12).windows)
    write_batch(tmp_path / "batch-2.npz", replace(FACTS, rounds_planned=12), batch(2, 7).windows)
    before = (tmp_path / "batch-1.npz").read_bytes()
    assert collect(tmp_path, *SMALL) == ExitCode.OK
    assert [of.path.name for of in made] == ["batch-2.npz"]
    assert (tmp_path / "batch-1.npz").read_bytes() == before
    said = capsys.readouterr().err
    assert "batch-1.npz is there: 324 windows" in said
    assert "batch-2.npz broke off after 7 of 12 rounds: made anew" in said


def test_too_few_rounds_are_refused(tmp_path: Path, made: list[Batch], capsys: pytest.CaptureFixture[str]) -> None:
    assert collect(tmp_path, "--rounds", "11") == ExitCode.BAD_INPUT
    assert "11 must be at least 12" in capsys.readouterr().err
    assert made == []


def test_a_folder_that_cannot_be_made_is_said(
    tmp_path: Path, made: list[Batch], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert collect(tmp_path / "file" / "pool") == ExitCode.BAD_INPUT
    assert "file/pool: Not a directory" in capsys.readouterr().err
    assert made == []


def rates(folder: Path, *more: str) -> int:
    return main(["selftest", "rates", "--pool", str(folder), *more])


@pytest.mark.slow
def test_rates_are_written_and_printed_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2, 3):
        facts = replace(FACTS, rounds_planned=12, seed=number)
        write_batch(tmp_path / f"batch-{number}.npz", facts, batch(8, 12).windows)
    assert rates(tmp_path, "--gates", "5", "--replicates", "2") == ExitCode.OK
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "rates.json").read_text())
    assert printed.strip() == tables(found).strip() == (tmp_path / "rates.md").read_text().strip()
    assert (found["pairs"], found["rounds"], found["gates"]) == (24, 12, 5)
    assert {(rate["profile"], rate["dose"]) for rate in found["rates"]} == {
        (profile, dose.name) for profile in ("gate", "release") for dose in DOSES
    }
    assert len(found["rivals"]) == len(RIVALS) * len(DOSES)
    assert rates(tmp_path, "--gates", "2", "--replicates", "0", "--only", "gate") == ExitCode.OK
    assert json.loads((tmp_path / "rates.json").read_text()) == found, "a part is not written"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((), "has no whole batch: make some with `perfgate selftest collect --pool"),
        (("--only", "quick"), "--only quick: there are gate, release"),
        (("--gates", "0"), "0 must be at least 1"),
    ],
)
def test_what_cannot_be_judged_is_said(
    tmp_path: Path, options: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rates(tmp_path, *options) == ExitCode.BAD_INPUT
    assert complaint in capsys.readouterr().err


def test_a_pool_that_is_too_small_or_mixed_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_batch(tmp_path / "batch-1.npz", replace(FACTS, rounds_planned=12), batch(2, 12).windows)
    assert rates(tmp_path, "--gates", "1", "--replicates", "0", "--only", "gate") == ExitCode.BAD_INPUT
    assert "the pool has 2 pairs of processes, and a gate of" in capsys.readouterr().err
    write_batch(tmp_path / "batch-2.npz", replace(FACTS, rounds_planned=3), batch(2, 3).windows)
    assert rates(tmp_path) == ExitCode.BAD_INPUT
    assert "has batches of different releases, loads or rounds" in capsys.readouterr().err
    (tmp_path / "batch-1.npz").unlink()
    assert rates(tmp_path) == ExitCode.BAD_INPUT
    assert "has batches of 3 rounds: at least 12 are needed" in capsys.readouterr().err
