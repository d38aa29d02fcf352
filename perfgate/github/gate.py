"""`perfgate github gate`: one run of perf tests as a step of GitHub Actions.

Comes in: the action's inputs, from the environment. Goes out: the run's record and report in a folder, outputs of the
step, its summary, annotations, an exit code. Runs as well without GitHub: what it would tell GitHub is printed.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perfgate import record
from perfgate.errors import BadInput, PerfgateError
from perfgate.exit_codes import ExitCode
from perfgate.github.annotations import annotations
from perfgate.github.baseline_reason import baseline_reason
from perfgate.github.checkouts import in_repository
from perfgate.github.conclusion import CODES
from perfgate.github.inputs import ROOT, GateInputs
from perfgate.github.workflow_commands import Annotation, append_outputs, append_summary, commands_stopped
from perfgate.record import Record
from perfgate.report.command import RECORD_NAME, run_report
from perfgate.report.markdown import code
from perfgate.report.outcome import Outcome, summed_up
from perfgate.report.plain_text import plain
from perfgate.report.terminal import MEANINGS
from perfgate.settings import BASELINE_WHY, OPTIONS

#: What somebody else may conclude from the outputs; all other codes say that the gate itself went wrong.
VERDICT_CODES: Final = (ExitCode.OK, ExitCode.FAIL, ExitCode.INVALID, ExitCode.INCOMPLETE)
#: pytest's own, for a run without a test.
NO_TESTS: Final = 5
#: Of pytest's standard error, for the message of a run that left no record.
KEPT_LINES: Final = 30
REASON_CHARS_MAX: Final = 600
#: By these a step could change the job that it is part of, or act as it: not for a gateway that is under test.
_KEPT_FROM_TESTS: Final = (
    "GITHUB_ENV",
    "GITHUB_PATH",
    "GITHUB_OUTPUT",
    "GITHUB_STATE",
    "GITHUB_STEP_SUMMARY",
    "GITHUB_TOKEN",
    "GH_TOKEN",
)
_KEPT_PREFIXES: Final = ("ACTIONS_", "INPUT_")
_BASELINE_WHY_VARIABLE: Final = next(option.variable for option in OPTIONS if option.name == BASELINE_WHY)


@dataclass(frozen=True, slots=True)
class Gated:
    """What came of a run.

    Args:
        verdict: one word; PASS only where the run says so and ended so.
        code: of the run, or of its verdict where the run ended with 0.
        reason: one line.
        record: the run's; None where it left none that can be read.
        path: of that record.
    """

    verdict: Outcome
    code: ExitCode
    reason: str
    record: Record | None = None
    path: Path | None = None


def run_gate(_: argparse.Namespace) -> ExitCode:
    """Run the perf tests that the environment asks for, and say what came of them.

    Raises:
        BadInput: an input cannot be used; that is an annotation too.
        StackFailed: the report cannot be written.
    """
    try:
        inputs = GateInputs.of_environ(os.environ)
    except BadInput as error:
        reason = plain(str(error), REASON_CHARS_MAX)
        print(Annotation("error", "perfgate: bad input", str(error)).command)
        append_summary(os.environ, _without_report(Outcome.UNFINISHED, reason))
        append_outputs(
            os.environ, {"verdict": Outcome.UNFINISHED, "exit-code": str(int(error.exit_code)), "reason": reason}
        )
        raise
    before = _records(inputs.record_dir)
    command = [sys.executable, "-P", "-m", "pytest", *inputs.arguments()]
    print(shlex.join(["pytest", *command[4:]]), flush=True)
    with commands_stopped(os.environ):
        status, errors = _run(command, _environment(inputs, os.environ))
    gated = _gated(status, errors, sorted(_records(inputs.record_dir) - before))
    report = _report(gated, inputs.folder / "report")
    for annotation in _annotations(gated):
        print(annotation.command)
    outputs = {
        "verdict": gated.verdict,
        "exit-code": str(int(gated.code)),
        "reason": gated.reason,
        "folder": str(inputs.folder),
        "record": str(gated.path or ""),
        "report": str(report or ""),
    }
    append_outputs(os.environ, outputs)
    print(f"perfgate: {gated.verdict}: {gated.reason}", flush=True)
    return ExitCode.OK if gated.code in VERDICT_CODES and not inputs.fails_on_verdict else gated.code


def _records(folder: Path) -> set[Path]:
    return {path for path in folder.glob("*.json") if RECORD_NAME.fullmatch(path.name)}


def _environment(inputs: GateInputs, environ: Mapping[str, str]) -> dict[str, str]:
    """Of pytest: perfgate's configuration wherever the tests are, and nothing by which the job could be changed.

    Not on the command line, which stands in the record and is there to be typed again.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name not in _KEPT_FROM_TESTS and not name.startswith(_KEPT_PREFIXES)
    }
    why = baseline_reason(inputs.baseline_given, environ) if inputs.baseline else ""
    if why:
        kept.setdefault(_BASELINE_WHY_VARIABLE, why)
    added = ["-c", str(ROOT / "pytest.ini"), f"--rootdir={ROOT}", "-p", "perfgate.plugin", "-p", "no:cacheprovider"]
    added += [f"--junitxml={inputs.folder / 'junit.xml'}", f"--benchmark-storage=file://{inputs.folder / 'benchmarks'}"]
    return {**kept, "PYTEST_ADDOPTS": shlex.join([*shlex.split(environ.get("PYTEST_ADDOPTS", "")), *added])}


def _run(command: Sequence[str], environ: Mapping[str, str]) -> tuple[int, list[str]]:
    """Run pytest; its exit code (below 0 the signal that killed it), and the last lines of its standard error."""
    kept: deque[str] = deque(maxlen=KEPT_LINES)
    with (
        subprocess.Popen(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            # A group of its own: else Ctrl-C would reach it twice, and the second one cut its clean-up short.
            process_group=0,
        ) as run,
        _told_to_end(run),
    ):
        assert run.stderr is not None
        for line in run.stderr:
            sys.stderr.write(line)
            sys.stderr.flush()
            kept.append(line.rstrip("\n"))
        return run.wait(), list(kept)


@contextmanager
def _told_to_end(run: "subprocess.Popen[str]") -> Iterator[None]:
    """Pass on what cancels a job: the run then stops everything and keeps its record, and we go on to report it."""

    def pass_on(number: int, frame: object) -> None:
        run.terminate()

    asked = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, pass_on) for number in asked if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _gated(status: int, errors: Sequence[str], found: Sequence[Path]) -> Gated:
    """What an exit code and the records that a run left come to."""
    if not found:
        why = _why_no_record(status, errors)
        return Gated(Outcome.UNFINISHED, _code(status, Outcome.UNFINISHED), plain(why, REASON_CHARS_MAX))
    path = found[-1]
    try:
        kept = record.read(path)
    except BadInput as error:
        code = _code(status, Outcome.UNFINISHED)
        return Gated(Outcome.UNFINISHED, code, plain(str(error), REASON_CHARS_MAX), path=path)
    summing = summed_up(kept)
    verdict = Outcome.UNFINISHED if summing.outcome is Outcome.PASS and status else summing.outcome
    reason = "; ".join([summing.counts, *summing.open_questions, summing.ended])
    return Gated(verdict, _code(status, verdict), plain(reason, REASON_CHARS_MAX), kept, path)


def _why_no_record(status: int, errors: Sequence[str]) -> str:
    if status == NO_TESTS:
        return "no test was found, so that nothing was measured; `tests` names files or folders of perf tests"
    if status < 0:
        return f"pytest was killed by signal {-status}, and left no record"
    first = next((place for place, line in enumerate(errors) if line.startswith("ERROR: ")), None)
    if first is not None:
        return " ".join(errors[first:]).removeprefix("ERROR: ")
    known = MEANINGS[ExitCode(status)] if status in set(ExitCode) else "unknown"
    return f"no record: pytest ended with {status} ({known}); what it said stands in the log"


def _code(status: int, verdict: Outcome) -> ExitCode:
    """Of the run; of its verdict, where it ended with 0, or with a code that is none of ours."""
    if status in set(ExitCode) and status:
        return ExitCode(status)
    return ExitCode.BAD_INPUT if status == NO_TESTS else CODES[verdict]


def _report(gated: Gated, folder: Path) -> Path | None:
    """Draw up the run's report, which is the step's summary too; a summary alone, where there is no record."""
    if gated.record is not None:
        try:
            run_report(argparse.Namespace(records=[gated.path], out=folder))
            return folder / "report.html"
        except PerfgateError as error:
            print(Annotation("error", "perfgate: no report", str(error)).command)
    append_summary(os.environ, _without_report(gated.verdict, gated.reason))
    return None


def _without_report(verdict: Outcome, reason: str) -> str:
    return f"## perfgate: {verdict}\n\nNo report: {code(reason, REASON_CHARS_MAX)}\n"


def _annotations(gated: Gated) -> list[Annotation]:
    if gated.record is None:
        return [Annotation("error", f"perfgate {gated.verdict}", gated.reason)]
    return annotations(gated.record, in_repository)
