"""Is what is measured kept, however a run ends, and is only the rest measured by the next one?"""

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest

from perfgate.errors import BadInput, StackFailed
from perfgate.history.measuring import Unfit, Version
from perfgate.history.result import Conditions, LeftOut, Measured, Result
from perfgate.history.results_file import read_results, write_result
from perfgate.history.series import BESIDE_S, Standing, measure_missing, stale
from tests.harness.history.conftest import CONDITIONS, left_out, measured, version

NAMES: Final = ("1.80.0", "1.81.0", "1.82.6", "1.83.1")
ROOT: Final = Path(__file__).parents[3]


@dataclass
class FakeMeasuring:
    """Measures at once; raises what is set for a version."""

    errors: Mapping[str, BaseException] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    standings: list[Standing] = field(default_factory=list)
    on_disk: list[set[str]] = field(default_factory=list)
    folder: Path | None = None

    def measure(self, version: Version, standing: Standing) -> Measured:
        self.asked.append(version.name)
        self.standings.append(standing)
        if self.folder is not None:
            self.on_disk.append(set(read_results(self.folder)))
        if version.name in self.errors:
            raise self.errors[version.name]
        return measured(version.name)


def run(
    folder: Path,
    measuring: FakeMeasuring,
    names: Sequence[str] = NAMES,
    *,
    conditions: Conditions = CONDITIONS,
    content_of: Callable[[Version], str | None] = lambda version: None,
    said: list[str] | None = None,
    clock_mono_s: Callable[[], float] = lambda: 0.0,
) -> Mapping[str, Result]:
    return measure_missing(
        [version(name) for name in names],
        folder,
        conditions=conditions,
        content_of=content_of,
        measure=measuring.measure,
        minutes_each=4.0,
        say=(said if said is not None else []).append,
        clock_mono_s=clock_mono_s,
    )


def test_each_is_on_the_disk_before_the_next_is_begun(tmp_path: Path) -> None:
    measuring = FakeMeasuring(folder=tmp_path)
    found = run(tmp_path, measuring)
    assert measuring.asked == list(NAMES)
    assert measuring.on_disk == [set(NAMES[:number]) for number in range(4)]
    assert found == read_results(tmp_path) == {name: measured(name) for name in NAMES}


def test_ended_by_ctrl_c_it_goes_on_where_it_was_and_measures_none_twice(tmp_path: Path) -> None:
    first = FakeMeasuring({"1.82.6": KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, first)
    assert set(read_results(tmp_path)) == {"1.80.0", "1.81.0"}
    second = FakeMeasuring()
    said: list[str] = []
    found = run(tmp_path, second, said=said)
    assert second.asked == ["1.82.6", "1.83.1"]
    assert list(found) == list(NAMES)
    assert "1.80.0 is measured already (2026-01-01T00:00:00+00:00)" in said


#: Measures two at once, and is killed in the middle of the third.
KILLED: Final = """
import os, signal, sys
from pathlib import Path
from tests.harness.history.conftest import CONDITIONS, measured, version
from perfgate.history.series import measure_missing

folder, log = Path(sys.argv[1]), Path(sys.argv[2])

def measure(one, standing):
    with log.open("a") as file:
        file.write(one.name + chr(10))
    if one.name == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
    return measured(one.name)

measure_missing([version(name) for name in sys.argv[4:]], folder, conditions=CONDITIONS,
                content_of=lambda one: None, measure=measure, minutes_each=4.0, say=print)
"""


@pytest.mark.slow
def test_killed_it_goes_on_where_it_was_and_measures_none_twice(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", KILLED, str(tmp_path / "series"), str(log)]
    killed = subprocess.run([*command, "1.82.6", *NAMES], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert set(read_results(tmp_path / "series")) == {"1.80.0", "1.81.0"}
    again = subprocess.run([*command, "", *NAMES], cwd=ROOT, check=False)
    assert again.returncode == 0
    assert set(read_results(tmp_path / "series")) == set(NAMES)
    assert log.read_text().split() == ["1.80.0", "1.81.0", "1.82.6", "1.82.6", "1.83.1"]


def test_what_could_not_be_measured_is_kept_with_the_reason_and_tried_again(tmp_path: Path) -> None:
    errors = {
        "1.80.0": Unfit("apparatus: the generator sent late"),
        "1.81.0": BadInput("litellm 1.81.0 cannot be installed"),
        "1.82.6": StackFailed("litellm-1 ended before it was ready"),
    }
    said: list[str] = []
    found = run(tmp_path, FakeMeasuring(errors), said=said)
    kinds = {name: (one.kind, one.reason) for name, one in found.items() if isinstance(one, LeftOut)}
    assert kinds == {
        "1.80.0": ("unfit", "apparatus: the generator sent late"),
        "1.81.0": ("not installable", "litellm 1.81.0 cannot be installed"),
        "1.82.6": ("failed", "litellm-1 ended before it was ready"),
    }
    assert found == read_results(tmp_path)
    assert "1.81.0: not measured (litellm 1.81.0 cannot be installed)" in said
    again = FakeMeasuring()
    assert all(isinstance(one, Measured) for one in run(tmp_path, again).values())
    assert again.asked == ["1.80.0", "1.81.0", "1.82.6"]


def test_what_was_measured_otherwise_is_measured_anew_and_why_is_said(tmp_path: Path) -> None:
    write_result(tmp_path, measured("1.80.0", conditions=replace(CONDITIONS, load="three users")))
    write_result(tmp_path, measured("1.81.0", content_sha256="of yesterday"))
    write_result(tmp_path, measured("1.82.6"))
    measuring = FakeMeasuring()
    said: list[str] = []
    run(tmp_path, measuring, NAMES[:3], content_of=lambda one: f"sha of {one.name}", said=said)
    assert measuring.asked == ["1.80.0", "1.81.0"]
    assert "1.80.0 is measured anew: load was three users, is two users" in said
    assert "1.81.0 is measured anew: its packages or its configuration are others now" in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scenario": "other"}, "scenario was other, is regression"),
        ({"anchor": "1.70.0"}, "anchor was 1.70.0, is 1.79.3"),
        ({"anchor_sha256": "x"}, "anchor_sha256 was x, is anchor-sha"),
        ({"deps": "today"}, "deps was today, is of-its-time"),
        ({"python_version": "3.12.1"}, "python_version was 3.12.1, is 3.11.7"),
        ({"cpu_model": None}, "cpu_model was None, is Some CPU"),
        ({"cores": 4}, "cores was 4, is 2"),
        ({"method": 0}, "method was 0, is 1"),
    ],
)
def test_every_condition_counts(change: Mapping[str, object], words: str) -> None:
    then = replace(CONDITIONS, **change)  # type: ignore[arg-type]
    assert stale(measured("1.80.0", conditions=then), CONDITIONS, None) == words


def test_a_content_that_is_not_known_is_taken_to_be_the_same() -> None:
    known = measured("1.80.0")
    assert stale(known, CONDITIONS, None) is None
    assert stale(known, CONDITIONS, known.content_sha256) is None
    assert stale(known, CONDITIONS, "other") is not None


def test_a_result_that_cannot_be_kept_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(StackFailed, match="could not be written"):
        run(tmp_path, FakeMeasuring())


def test_versions_that_are_no_longer_asked_for_stay_on_the_disk(tmp_path: Path) -> None:
    write_result(tmp_path, measured("1.70.0"))
    assert list(run(tmp_path, FakeMeasuring(), NAMES[:1])) == ["1.80.0"]
    assert set(read_results(tmp_path)) == {"1.70.0", "1.80.0"}


def test_a_left_out_one_does_not_count_as_measured(tmp_path: Path) -> None:
    write_result(tmp_path, left_out("1.80.0"))
    measuring = FakeMeasuring()
    run(tmp_path, measuring, NAMES[:1])
    assert measuring.asked == ["1.80.0"]


def test_the_time_left_is_planned_first_and_then_what_was_seen(tmp_path: Path) -> None:
    ticks = iter([0.0, 0.0, 100.0, 100.0, 200.0, 200.0, 300.0, 300.0, 400.0])
    measuring = FakeMeasuring()
    run(tmp_path, measuring, clock_mono_s=lambda: next(ticks))
    assert [standing.each_s for standing in measuring.standings] == [4.0 * 60 + BESIDE_S, 100.0, 100.0, 100.0]
    assert [(standing.number, standing.of) for standing in measuring.standings] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    second = measuring.standings[1]
    assert second.left_s(second.began_mono_s + 40) == 60 + 2 * 100
    assert second.left_s(second.began_mono_s + 140) == 2 * 100
    assert second.words(second.began_mono_s + 40) == "1.81.0 (2 of 4), about 4 min left"


def test_a_reason_that_is_kept_does_not_name_the_users_home(tmp_path: Path) -> None:
    errors: dict[str, Exception] = {"1.80.0": StackFailed(f"File {Path.home()}/.cache/perfgate/litellm/bin/litellm")}
    result = run(tmp_path, FakeMeasuring(errors))["1.80.0"]
    assert isinstance(result, LeftOut)
    assert result.reason == "File ~/.cache/perfgate/litellm/bin/litellm"
