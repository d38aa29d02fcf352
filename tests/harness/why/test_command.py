"""`perfgate why`: is what was asked for profiled, written, shown, and ended with the right code?"""

from pathlib import Path
from typing import Any, Final

import pytest

from perfgate.cli import main
from perfgate.errors import StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.experiment.arms import Arm
from perfgate.history.measuring import Question
from perfgate.stack.inspection import ServiceFacts
from perfgate.stack.packages import Packages
from perfgate.why import command
from perfgate.why.command import Found
from perfgate.why.profiling import Profile
from tests.harness.why.conftest import NEW, OLD, profile_of

ROOT: Final = Path(__file__).parents[3]
GAINED: Final = ({"main (app.py);hot (lib.py)": 40}, {"main (app.py);hot (lib.py)": 60})


class Host:
    """What the command finds instead of a real stack and a real py-spy."""

    def __init__(self) -> None:
        self.profile: Profile = profile_of(*GAINED)
        self.notes: tuple[str, ...] = ()
        self.error: BaseException | None = None
        self.asked: list[tuple[Question, tuple[Arm, Arm], int, int]] = []

    def found_of(
        self,
        question: Question,
        arms: tuple[Arm, Arm],
        program: Path,
        seed: int,
        rate_hz: int,
    ) -> Found:
        self.asked.append((question, arms, seed, rate_hz))
        if self.error is not None:
            raise self.error
        facts = {}
        for arm in arms:
            assert arm.gateway is not None
            packages = Packages((f"litellm=={str(arm.gateway.source).removeprefix('litellm ')}", "h11==0.16.0"))
            facts[arm.gateway] = ServiceFacts("3.11.7", packages, "uvloop", "h11", "uvicorn", False, 1)
        return Found(self.profile, facts, self.notes)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.chdir(ROOT)
    host = Host()
    monkeypatch.setattr(command, "found_of", host.found_of)
    monkeypatch.setattr(command, "program_path", lambda: Path("/bin/py-spy"))
    monkeypatch.setattr(command, "check_memory", lambda question, gateway: None)
    return host


def why(folder: Path, *more: str) -> int:
    return main(["why", "--baseline", "1.79.3", "--candidate", "1.106.2", "--output", str(folder), *more])


def test_the_answer_is_shown_and_written_with_page_and_stacks(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.notes = ("packages that differ: litellm", "the access log is on in baseline, off in candidate")
    assert why(tmp_path / "new", "--seed", "5") == ExitCode.OK
    said = capsys.readouterr()
    folder = tmp_path / "new"
    assert said.out == (folder / "why.md").read_text()
    assert "| `hot (lib.py)` | 2,000 | 3,000 | +1,000 |" in said.out
    assert "| `litellm` | `1.79.3` | `1.106.2` |" in said.out
    assert "h11" not in said.out
    assert "the access log is on in baseline" in said.out
    assert "packages that differ" not in said.out, "they have a table"
    assert "hot (lib.py) gained most: +1,000 us of CPU a request of its own" in said.err
    assert f"the flame graph is in {folder / 'why.html'}" in said.err
    assert "<svg" in (folder / "why.html").read_text()
    for arm, samples in (("baseline", 160), ("candidate", 240)):
        # In microseconds, as each of four windows has them.
        assert (folder / f"{arm}.folded").read_text() == f"main (app.py);hot (lib.py) {samples * 5000}\n"


def test_both_versions_are_gateways_of_their_own_and_options_are_passed_on(tmp_path: Path, host: Host) -> None:
    options = ("--deps", "today", "--workers", "2", "--generations", "5", "--minutes", "6", "--rate", "99")
    assert why(tmp_path, *options, "--seed", "7") == ExitCode.OK
    ((question, arms, seed, rate_hz),) = host.asked
    assert (seed, rate_hz) == (7, 99)
    assert (question.generations, question.minutes, question.scenario.name) == (5, 6.0, "regression")
    for arm, plain in zip(arms, (OLD, NEW), strict=True):
        assert arm.gateway is not None
        assert (arm.gateway.source, arm.gateway.apart) == (plain.source, plain.apart)
        assert (arm.gateway.deps, arm.gateway.workers) == ("today", 2)
    made = (tmp_path / "why.md").read_text()
    assert (
        "perfgate why --baseline 1.79.3 --candidate 1.106.2 --deps today --workers 2 --scenario regression "
        "--generations 5 --minutes 6 --rate 99 --seed 7\n"
    ) in made


def test_two_configurations_of_one_release_can_be_asked(tmp_path: Path, host: Host) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("model_list:\n  - model_name: fast\n    litellm_params: {model: openai/gpt-4o}\n")
    argv = ["why", "--baseline", "1.79.3", "--candidate", "1.79.3", "--candidate-config", str(config)]
    assert main([*argv, "--output", str(tmp_path / "out")]) == ExitCode.OK
    _, (baseline, candidate), *_ = host.asked[0]
    assert baseline.gateway is not None
    assert candidate.gateway is not None
    assert (baseline.gateway.config_path, candidate.gateway.config_path) == (None, config)
    assert (baseline.model, candidate.model) == ("perfgate-plain", "fast")
    assert f"--candidate-config {config}" in (tmp_path / "out" / "why.md").read_text()


def test_figures_that_something_speaks_against_are_shown_and_end_as_invalid(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.profile = profile_of(*GAINED, behind_s=3.0)
    assert why(tmp_path) == ExitCode.INVALID
    assert "**Not to be trusted**: the profiler was 3.0 s late" in capsys.readouterr().out


def test_arms_without_samples_have_a_page_too(tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.profile = profile_of({}, {})
    assert why(tmp_path) == ExitCode.OK
    assert "There is nothing to draw" in (tmp_path / "why.html").read_text()
    assert "no function gained more than chance explains" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [(StackFailed("ptrace is refused"), ExitCode.STACK_FAILED), (KeyboardInterrupt(), ExitCode.INTERRUPTED)],
)
def test_what_was_broken_off_has_written_nothing(
    tmp_path: Path, host: Host, error: BaseException, code: ExitCode
) -> None:
    host.error = error
    assert why(tmp_path) == code
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--baseline", "main"), "'main' is not a LiteLLM release"),
        (("--candidate", "url:http://127.0.0.1:4000"), "--candidate url:http://127.0.0.1:4000: it runs already"),
        (("--candidate", "portkey:1.15.2"), "--candidate portkey:1.15.2: it is no Python program"),
        (("--scenario", "overhead"), "--scenario overhead: it must compare two releases"),
        (("--generations", "1"), "--generations 1 must be at least 2"),
        (("--rate", "0"), "--rate 0 must be from 1 to 1000"),
        (("--rate", "5000"), "--rate 5000 must be from 1 to 1000"),
        (("--workers", "0"), "--workers 0 must be at least 1"),
        (("--minutes", "0"), "--minutes 0 must be above 0"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_is_started(
    tmp_path: Path, host: Host, options: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert why(tmp_path, *options) == ExitCode.BAD_INPUT
    assert complaint in capsys.readouterr().err
    assert host.asked == []


def test_a_folder_that_cannot_be_made_is_said_at_once(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert why(tmp_path / "file" / "below") == ExitCode.BAD_INPUT
    assert f"--output {tmp_path / 'file' / 'below'}: " in capsys.readouterr().err
    assert host.asked == []


def test_both_versions_must_be_named(capsys: pytest.CaptureFixture[str], host: Host) -> None:
    given: list[Any] = ["why", "--baseline", "1.79.3"]
    assert main(given) == ExitCode.BAD_INPUT
    assert "--candidate" in capsys.readouterr().err
