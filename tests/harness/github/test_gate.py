"""Does the step behind the action tell GitHub what a run found, in a repository that uses it? Nothing is measured."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from perfgate.github.checkouts import in_repository
from tests.harness.conftest import PATIENCE_S, ROOT, THRESHOLDS
from tests.harness.forked_runs import ForkedRuns
from tests.harness.github.conftest import LIMIT_LINE, Consumer, Step, action_command, action_environ, an_action
from tests.harness.test_plugin import COMPARING, COMPARING_FILE

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("gate")]

INCOMPLETE: Final = THRESHOLDS.replace('"a reason"}', '"a reason"}\n      error_ratio: {max: 0.001, why: "x"}')


@pytest.fixture(scope="module")
def left_to_another_job(tmp_path_factory: pytest.TempPathFactory, forked_runs: ForkedRuns) -> Callable[[str], Step]:
    """A step whose verdict another job concludes, by what it judges; each on a runner of its own, and run once."""

    @cache
    def step(arguments: str) -> Step:
        consumer = Consumer(tmp_path_factory.mktemp("consumer"), forked_runs)
        consumer.judges(arguments)
        return consumer.step(fail_on_verdict="false")

    return step


def test_a_pass_is_green_with_record_report_and_summary(consumer: Consumer) -> None:
    step = consumer.step_by_script()
    assert step.code == 0, step.stdout + step.stderr
    folder = consumer.runner / "perfgate"
    assert (step.outputs["verdict"], step.outputs["exit-code"]) == ("PASS", "0")
    assert step.outputs["reason"] == "1 PASS, 0 FAIL, 0 INVALID; exit code 0: no limit failed"
    assert step.outputs["folder"] == str(folder)
    assert step.outputs["report"] == str(folder / "report/report.html")
    assert Path(step.outputs["report"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert Path(step.outputs["record"]).parent == folder / "records"
    assert step.record.exit_code == 0
    assert (folder / "junit.xml").exists()
    assert step.summary.startswith("## perfgate: PASS\n")
    assert step.annotations == []
    assert {path.name for path in consumer.checkout.iterdir()} == {".git", "perf", "limits"}, "the checkout as it was"


def test_a_fail_stands_at_the_line_of_its_limit(consumer: Consumer) -> None:
    consumer.judges("gateway_ms=90")
    step = consumer.step()
    assert step.code == 1
    assert (step.outputs["verdict"], step.outputs["exit-code"]) == ("FAIL", "1")
    (annotation,) = step.annotations
    assert annotation.startswith(
        f"::error file=limits/thresholds.yaml,line={LIMIT_LINE},"
        "title=perfgate FAIL%3A overhead%2C gateway overhead%2C p95::"
    )
    assert "limit at most 25 ms: the interval is beyond the limit%0Areproduce: pytest perf " in annotation
    assert step.summary.startswith("## perfgate: FAIL\n")


def test_an_invalid_is_red_with_its_own_reason_and_nobodys_line(consumer: Consumer) -> None:
    consumer.judges("lag_ms=9")
    step = consumer.step()
    assert step.code == 10
    assert (step.outputs["verdict"], step.outputs["exit-code"]) == ("INVALID", "10")
    (annotation,) = step.annotations
    assert annotation.startswith("::error title=perfgate INVALID%3A overhead%2C gateway overhead%2C p95::")
    assert "INVALID is not a pass" in annotation
    assert "dispatch lag" in annotation
    assert step.summary.startswith("## perfgate: INVALID\n")


def test_what_has_no_verdict_is_red_by_name(consumer: Consumer) -> None:
    consumer.limits(INCOMPLETE)
    step = consumer.step()
    assert step.code == 11
    assert step.outputs["verdict"] == "INCOMPLETE"
    assert "overhead has no verdict on error_ratio" in step.outputs["reason"]
    (annotation,) = step.annotations
    assert annotation.startswith("::error title=perfgate INCOMPLETE::overhead has no verdict on error_ratio; ")
    assert step.summary.startswith("## perfgate: INCOMPLETE\n")


@pytest.mark.parametrize(("arguments", "verdict"), [("", "PASS"), ("gateway_ms=90", "FAIL"), ("lag_ms=9", "INVALID")])
def test_where_another_job_concludes_a_verdict_ends_with_0(
    left_to_another_job: Callable[[str], Step], arguments: str, verdict: str
) -> None:
    step = left_to_another_job(arguments)
    assert (step.code, step.outputs["verdict"]) == (0, verdict)


def test_bad_input_is_no_verdict_and_its_message_is_the_annotation(consumer: Consumer) -> None:
    consumer.limits(THRESHOLDS.replace("max: 25", "max: abc"))
    step = consumer.step(fail_on_verdict="false")
    assert step.code == 4
    assert (step.outputs["verdict"], step.outputs["exit-code"]) == ("UNFINISHED", "4")
    assert (step.outputs["record"], step.outputs["report"]) == ("", "")
    (annotation,) = step.annotations
    assert annotation.startswith("::error title=perfgate UNFINISHED::limits/thresholds.yaml cannot be used: 1 problem")
    assert f"limits/thresholds.yaml:{LIMIT_LINE}: " in annotation
    assert "found 'abc'" in step.stderr, "the log has what pytest said"
    assert step.summary.startswith("## perfgate: UNFINISHED\n\nNo report: <code>")


def test_an_input_that_cannot_be_used_is_said_before_anything_runs(consumer: Consumer) -> None:
    step = consumer.step(candidate="file:none.txt")
    assert step.code == 4
    assert (step.outputs["verdict"], step.outputs["exit-code"]) == ("UNFINISHED", "4")
    assert step.summary.startswith("## perfgate: UNFINISHED\n\nNo report: <code>")
    (annotation,) = step.annotations
    assert annotation.startswith("::error title=perfgate%3A bad input::file:none.txt: cannot be read")
    assert step.stderr.startswith("error: file:none.txt: cannot be read")
    assert not (consumer.runner / "perfgate").exists()


def test_a_run_without_a_test_is_no_pass(consumer: Consumer) -> None:
    (consumer.checkout / "perf/test_overhead.py").unlink()
    step = consumer.step()
    assert (step.code, step.outputs["verdict"]) == (4, "UNFINISHED")
    assert step.outputs["reason"].startswith("no test was found, so that nothing was measured")


def test_an_ordinary_test_that_fails_is_a_fail_though_every_limit_was_kept(consumer: Consumer) -> None:
    (consumer.checkout / "perf/test_more.py").write_text("def test_it():\n    assert False\n")
    step = consumer.step()
    assert (step.code, step.outputs["verdict"]) == (1, "FAIL")
    (annotation,) = step.annotations
    assert annotation == (
        "::error title=perfgate FAIL::1 PASS, 0 FAIL, 0 INVALID; exit code 1: a limit or a test failed"
    )


def test_a_run_that_is_killed_is_no_pass(consumer: Consumer) -> None:
    consumer.tests("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    step = consumer.step()
    assert (step.code, step.outputs["verdict"]) == (12, "UNFINISHED")
    assert step.outputs["reason"] == "pytest was killed by signal 9, and left no record"


def test_a_job_that_is_cancelled_keeps_its_record_and_is_reported(
    consumer: Consumer, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    began = consumer.runner / "began"
    consumer.tests(
        "import pathlib, signal, pytest\n"
        '@pytest.mark.scenario("overhead")\n'
        "def test_it():\n"
        f"    pathlib.Path({str(began)!r}).touch()\n"
        "    signal.pause()\n"
    )
    with subprocess.Popen(
        action_command("gate"),
        cwd=consumer.checkout,
        env=consumer.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        try:
            eventually(began.exists)
            run.send_signal(signal.SIGTERM)
            stdout, stderr = run.communicate(timeout=PATIENCE_S)
        finally:
            run.kill()
    step = consumer.done(run.returncode, stdout, stderr)
    assert (step.code, step.outputs["verdict"]) == (2, "UNFINISHED")
    assert step.record.exit_code == 2
    assert step.summary.startswith("## perfgate: UNFINISHED\n")
    assert step.annotations[0].startswith("::error title=perfgate UNFINISHED::")


def test_a_comparison_says_why_its_baseline_is_that_one(consumer: Consumer) -> None:
    consumer.limits(COMPARING)
    consumer.tests(COMPARING_FILE % "0.7")
    (consumer.checkout / "old.txt").write_text("# what runs today\nlitellm==1.79.3\n")
    step = consumer.step(candidate="1.102.4", baseline="file:old.txt", profile="compare")
    assert step.code == 0, step.stdout + step.stderr
    assert step.record.baseline_why == "old.txt line 2", "no commit has it"
    assert "against <code>litellm 1.79.3</code> (<code>old.txt line 2</code>), profile" in step.summary
    assert not any("--baseline-why" in word for word in step.record.command)


def test_what_is_under_test_gets_nothing_by_which_the_job_could_be_changed_and_cannot_speak_to_github(
    consumer: Consumer,
) -> None:
    kept = consumer.runner / "environ"
    consumer.tests(
        "import os, pathlib\n"
        f"pathlib.Path({str(kept)!r}).write_text(chr(10).join(os.environ))\n"
        "print('::error::of a gateway')\n"
        "assert False\n"
    )
    step = consumer.step(
        {"GITHUB_ACTIONS": "true", "GITHUB_ENV": "x", "GITHUB_TOKEN": "x", "ACTIONS_RUNTIME_TOKEN": "x"}
    )
    assert step.outputs["verdict"] == "UNFINISHED"
    names = set(kept.read_text().splitlines())
    assert "PATH" in names
    assert not {name for name in names if name.startswith(("INPUT_", "ACTIONS_"))}
    assert not names & {"GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_TOKEN", "GITHUB_PATH"}
    lines = step.stdout.splitlines()
    stop = next(line for line in lines if line.startswith("::stop-commands::"))
    resumed = lines.index(f"::{stop.removeprefix('::stop-commands::')}::")
    spoken = [place for place, line in enumerate(lines) if "::error::of a gateway" in line]
    assert spoken
    assert all(lines.index(stop) < place < resumed for place in spoken)
    assert resumed < lines.index(step.annotations[-1])


def test_a_second_run_in_the_same_folder_reports_its_own_record(consumer: Consumer) -> None:
    first = consumer.step()
    consumer.judges("gateway_ms=90")
    second = consumer.step()
    assert (first.code, second.code) == (0, 1)
    assert first.outputs["record"] != second.outputs["record"]
    assert second.outputs["verdict"] == "FAIL"


@pytest.mark.parametrize(
    ("again", "verdict", "code"), [("", "PASS", 0), ("gateway_ms=90", "FAIL", 1), ("lag_ms=9", "INVALID", 10)]
)
def test_an_invalid_is_measured_again_and_the_second_runner_decides(
    left_to_another_job: Callable[[str], Step], again: str, verdict: str, code: int
) -> None:
    """The three jobs of perf-gate.yml."""
    conclude = an_action(ROOT / ".github/actions/conclude/action.yml")
    told: dict[str, str] = {}
    for prefix, arguments in (("", "lag_ms=9"), ("again-", again)):
        step = left_to_another_job(arguments)
        assert step.code == 0
        told |= {f"{prefix}{name}": step.outputs[name] for name in ("verdict", "reason")}
        told[f"{prefix}result"] = "success"
    assert told["verdict"] == "INVALID"
    done = subprocess.run(
        action_command("conclude", conclude),
        env={
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_ACTION_PATH": str(ROOT / ".github/actions/conclude"),
            **action_environ("conclude", told, conclude),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert f"perf-gate: {verdict}: " in done.stdout


def test_a_path_is_told_from_the_root_of_the_checkout_that_it_is_in(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(consumer.checkout)
    assert in_repository("limits/thresholds.yaml") == "limits/thresholds.yaml"
    base = consumer.checkout / "base"
    (base / ".git").mkdir(parents=True)
    assert in_repository("base/thresholds.yaml") == "thresholds.yaml"
    assert in_repository(str(consumer.runner / "thresholds.yaml")) is None
