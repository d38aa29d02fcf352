"""Does a history that Ctrl-C, SIGTERM or kill -9 ended lose nothing that was finished and measure nothing twice?"""

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import pytest

from perfgate.exit_codes import ExitCode
from perfgate.history.results_file import read_results
from tests.harness.conftest import PATIENCE_S, read_until
from tests.harness.history.conftest import ROOT

pytestmark = pytest.mark.slow

RELEASES: Final = ("1.80.0", "1.80.5", "1.82.6", "1.106.2")
#: At which the first run waits to be ended.
THIRD: Final = RELEASES[2]
NOWHERE: Final = "nowhere"


def command(folder: Path, waits_at: str, moment: str = "measuring") -> list[str]:
    program = [sys.executable, "-m", "tests.harness.history.waiting", str(folder / "log"), waits_at, moment]
    series = ["--list", ",".join(("1.79.3", *RELEASES)), "--results", str(folder / "series"), "--seed", "1"]
    return [*program, "history", *series]


def ended_at_the_third(folder: Path, moment: str, by: signal.Signals) -> tuple[int, str]:
    """Begin a history, and end it once it waits there; returns its exit code and what it told."""
    with subprocess.Popen(
        command(folder, THIRD, moment), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        watchdog = threading.Timer(PATIENCE_S, run.kill)
        watchdog.start()
        try:
            read_until(run, f"waiting: {moment} {THIRD}")
            run.send_signal(by)
            _, told = run.communicate()
        finally:
            watchdog.cancel()
            run.kill()
    return run.returncode, told


def gone_on(folder: Path) -> str:
    """The same command again, to its end; what it told."""
    again = subprocess.run(command(folder, NOWHERE), cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == ExitCode.OK, again.stderr
    return again.stderr


def begun(folder: Path) -> list[str]:
    """The releases whose measuring was begun, in the order of time."""
    return (folder / "log").read_text().split()


@pytest.mark.parametrize("moment", ["measuring", "writing"])
@pytest.mark.parametrize(
    ("by", "code"),
    [
        (signal.SIGINT, ExitCode.INTERRUPTED),
        (signal.SIGTERM, ExitCode.INTERRUPTED),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_what_was_finished_stays_and_the_rest_alone_is_measured(
    tmp_path: Path, moment: str, by: signal.Signals, code: int
) -> None:
    series = tmp_path / "series"
    returned, told = ended_at_the_third(tmp_path, moment, by)
    assert returned == code
    assert ("the same command goes on with the rest" in told) == (by is not signal.SIGKILL)
    assert begun(tmp_path) == list(RELEASES[:3])
    finished = {path: path.read_bytes() for path in (series / "results").glob("*.json")}
    assert {path.stem for path in finished} == set(RELEASES[:2])

    told = gone_on(tmp_path)
    assert begun(tmp_path) == [*RELEASES[:3], *RELEASES[2:]], "the third was not finished: it is measured anew"
    for release in RELEASES[:2]:
        assert f"{release} is measured already (" in told
    assert all(path.read_bytes() == content for path, content in finished.items())
    assert set(read_results(series)) == set(RELEASES)
    assert {path.name for path in (series / "results").iterdir()} == {f"{release}.json" for release in RELEASES}
    assert all(f"| {release} |" in (series / "history.md").read_text() for release in RELEASES)


def test_one_that_was_ended_again_and_again_measures_each_once_and_in_the_end_none(tmp_path: Path) -> None:
    for _ in range(2):
        ended_at_the_third(tmp_path, "measuring", signal.SIGKILL)
    gone_on(tmp_path)
    whole = begun(tmp_path)
    assert [whole.count(release) for release in RELEASES] == [1, 1, 3, 1]
    gone_on(tmp_path)
    assert begun(tmp_path) == whole
