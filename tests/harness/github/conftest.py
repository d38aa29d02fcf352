"""A repository of somebody else's that uses the action, and steps of GitHub Actions in it, as action.yml has them."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from perfgate.record import Record, read
from tests.harness.conftest import ROOT, TEST_FILE, THRESHOLDS
from tests.harness.forked_runs import ForkedRuns

#: What a step hands its program: an input, and nothing else.
INPUT: Final = re.compile(r"\$\{\{ inputs\.([a-z-]+) \}\}")
#: The line of THRESHOLDS that has its only limit.
LIMIT_LINE = next(number for number, line in enumerate(THRESHOLDS.splitlines(), 1) if "overhead_p95_ms" in line)


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did.

    Args:
        code: its exit code.
        stdout, stderr: what it printed.
        outputs: that it set.
        summary: that it left.
    """

    code: int
    stdout: str
    stderr: str
    outputs: Mapping[str, str]
    summary: str

    @property
    def annotations(self) -> list[str]:
        """Lines that GitHub takes for messages."""
        return [line for line in self.stdout.splitlines() if line.startswith(("::error", "::warning", "::notice"))]

    @property
    def record(self) -> Record:
        """The one that it names."""
        return read(Path(self.outputs["record"]))


class Consumer:
    """A repository with a perf test and limits of its own, and a runner's folder beside it."""

    def __init__(self, folder: Path, runs: ForkedRuns) -> None:
        self.folder = folder
        self.runs = runs
        self.checkout = folder / "checkout"
        self.runner = folder / "runner"
        self.output = self.runner / "output"
        self.summary = self.runner / "summary.md"
        self.action = folder / "action"
        for made in (
            self.checkout / ".git",
            self.checkout / "perf",
            self.checkout / "limits",
            self.runner,
            self.action / ".venv/bin",
        ):
            made.mkdir(parents=True)
        # What `make venv` leaves in the action's folder: a perfgate that is installed.
        program = self.action / ".venv/bin/perfgate"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m perfgate "$@"\n')
        program.chmod(0o755)
        self.limits(THRESHOLDS)
        self.judges("")

    def limits(self, text: str) -> None:
        """Have these thresholds."""
        (self.checkout / "limits/thresholds.yaml").write_text(text)

    def judges(self, arguments: str) -> None:
        """Have a test that judges a measurement that is made up with these arguments."""
        self.tests(TEST_FILE % arguments)

    def tests(self, text: str) -> None:
        """Have this perf test."""
        (self.checkout / "perf/test_overhead.py").write_text(text)

    def environ(self, **inputs: str) -> dict[str, str]:
        """Of the action's step that measures, as the runner sets it."""
        given = {
            "profile": "quick",
            "thresholds": "limits/thresholds.yaml",
            "tests": "perf",
            **{name.replace("_", "-"): text for name, text in inputs.items()},
        }
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),  # the perf test makes its figures up with a module of ours
            "RUNNER_TEMP": str(self.runner),
            "GITHUB_ACTION_PATH": str(self.action),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            **action_environ("gate", given),
        }

    def step(self, variables: Mapping[str, str] | None = None, **inputs: str) -> Step:
        """Run the action's step that measures, with these variables beside those of every runner.

        What its script starts is started by a fork; `step_by_script` starts the script itself.
        """
        files = [self.folder / name for name in ("stdout", "stderr")]
        for file in files:
            file.write_bytes(b"")
        environ = {**self.environ(**inputs), **(variables or {})}
        code = self.runs.run(
            "perfgate", ["github", "gate"], folder=self.checkout, environ=environ, stdout=files[0], stderr=files[1]
        )
        return self.done(code, *(file.read_text() for file in files))

    def step_by_script(self, **inputs: str) -> Step:
        """The same as the runner does it."""
        done = subprocess.run(
            action_command("gate"),
            cwd=self.checkout,
            env=self.environ(**inputs),
            capture_output=True,
            text=True,
            check=False,
        )
        return self.done(done.returncode, done.stdout, done.stderr)

    def done(self, code: int, stdout: str, stderr: str) -> Step:
        """What a step that has ended did."""
        lines = self.output.read_text().splitlines() if self.output.exists() else []
        outputs = dict(line.split("=", 1) for line in lines)
        return Step(code, stdout, stderr, outputs, self.summary.read_text() if self.summary.exists() else "")


def an_action(path: Path = ROOT / "action.yml") -> dict[str, Any]:
    """The action that a file is."""
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def _step(step_id: str, action: Mapping[str, Any]) -> Mapping[str, Any]:
    steps: list[dict[str, Any]] = action["runs"]["steps"]
    (found,) = (step for step in steps if step.get("id") == step_id)
    return found


def action_command(step_id: str, action: Mapping[str, Any] | None = None) -> list[str]:
    """What the runner starts for a step of an action; `None` for the one at the root."""
    script = _step(step_id, action or an_action())["run"]
    return ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]


def action_environ(step_id: str, inputs: Mapping[str, str], action: Mapping[str, Any] | None = None) -> dict[str, str]:
    """The variables that a step sets, when the action gets these inputs."""
    action = action or an_action()
    unknown = inputs.keys() - action["inputs"].keys()
    assert not unknown, f"the action has no inputs {unknown}"
    values = {name: inputs.get(name, each.get("default", "")) for name, each in action["inputs"].items()}
    variables = _step(step_id, action)["env"].items()
    return {name: INPUT.sub(lambda match: str(values[match[1]]), text) for name, text in variables}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in for GitHub is on this host."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "*")


@pytest.fixture
def consumer(tmp_path: Path, forked_runs: ForkedRuns) -> Consumer:
    return Consumer(tmp_path, forked_runs)
