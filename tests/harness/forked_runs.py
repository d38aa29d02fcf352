"""Whole runs of `python -m pytest` and `python -m perfgate`, started by a fork: none waits for imports that all share.

Comes in: a module, arguments, a folder, an environment, files for what is said. Goes out: the exit status. A process
that has imported what both need (`python -m tests.harness.forked_runs`) forks for each run, and does there what `-m`
does: the run has a process of its own, and finds nothing of the runs before it, only modules that are there already.

What pytest rewrites the assertions of it has to import itself, or would warn: perfgate's plugin, and packages that have
plugins (xdist, Hypothesis …). These are not imported beforehand.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from perfgate.cli import COMMANDS

ROOT: Final = Path(__file__).parents[2]
#: What perfgate's plugin imports, beside what its commands do.
OF_THE_PLUGIN: Final = (
    "pytest",
    "perfgate.benchmarks",
    "perfgate.experiment.bench",
    "perfgate.experiment.capacity",
    "perfgate.experiment.fault_cycles",
    "perfgate.report.curve_tables",
    "perfgate.report.junit",
    "perfgate.report.size_tables",
    "perfgate.report.terminal",
    "perfgate.run",
    "perfgate.sign_off_command",
)
#: For a process that has been told to end.
ENDING_S: Final = 60.0


class ForkedRuns:
    """One process that forks, there for as many runs as wanted, one at a time: `with ForkedRuns() as runs: …`."""

    def __enter__(self) -> Self:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.harness.forked_runs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=self._environ(),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(ENDING_S)
        finally:
            self._process.kill()

    @staticmethod
    def _environ() -> dict[str, str]:
        """Of that process: no folders to search but Python's own, and no threads, which cannot be forked."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return {**kept, "OPENBLAS_NUM_THREADS": "1"}  # numpy's library of linear algebra starts some

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        folder: Path,
        environ: Mapping[str, str],
        stdout: Path,
        stderr: Path,
    ) -> int:
        """Run `python -m MODULE ARGUMENTS` to its end; its exit status, below 0 the signal that killed it.

        Args:
            module: `pytest` or `perfgate`.
            arguments: after the module's name.
            folder: that it runs in.
            environ: its whole environment.
            stdout, stderr: files that are there, and are written to.
        """
        asked = {
            "module": module,
            "arguments": list(arguments),
            "folder": str(folder),
            "environ": dict(environ),
            "files": [os.devnull, str(stdout), str(stderr)],
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def _be(asked: Mapping[str, Any], search_path: Sequence[str]) -> NoReturn:
    """Become what was asked for; `search_path` is Python's own, without folders that a run adds."""
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    for descriptor, path in enumerate(asked["files"]):
        opened = os.open(path, os.O_RDWR | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    added = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [asked["folder"], *added, *search_path]
    sys.argv[:] = [asked["module"], *asked["arguments"]]
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
    raise SystemExit(0)


def main() -> None:
    """Fork for every line of standard input, and answer with the status in which that process ended."""
    search_path = sys.path[1:]  # the first is the folder that this was started in
    for name in OF_THE_PLUGIN:
        importlib.import_module(name)
    for command in COMMANDS.values():
        pkgutil.resolve_name(command)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _be(json.loads(line), search_path)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
