"""Is a run that was forked one like any other, and does it find nothing of the run before it?"""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.harness.conftest import PLUGIN, make_project, run_judging

pytestmark = pytest.mark.slow

#: Notes what a process can see of how it was started.
LOOKS = """
    import json, os, pathlib, signal, sys
    def test_it():
        handlers = [repr(signal.getsignal(number)).partition(" at ")[0] for number in (2, 13, 15)]
        seen = {
            "path": sys.path,
            "argv": sys.argv[1:],
            "environ": dict(os.environ),
            "folder": os.getcwd(),
            "handlers": handlers,
            "encoding": [sys.stdout.encoding, sys.getfilesystemencoding()],
            "input": sys.__stdin__.read(),
            "files": len(os.listdir("/proc/self/fd")),
            "pid": os.getpid(),
        }
        pathlib.Path("seen.json").write_text(json.dumps(seen))
"""


def seen(pytester: pytest.Pytester) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pytester.path / "seen.json").read_text())
    return found


def test_it_sees_what_one_sees_that_was_started(pytester: pytest.Pytester) -> None:
    make_project(pytester, test_a=LOOKS)
    arguments = [*PLUGIN, "--basetemp=temp", "test_a.py"]
    assert pytester.run(sys.executable, "-mpytest", *arguments).ret == 0
    forked = seen(pytester)
    environ = {**os.environ, "PYTHONPATH": str(pytester.path)}
    command = [sys.executable, "-mpytest", *arguments]
    subprocess.run(command, cwd=pytester.path, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    started = seen(pytester)
    assert forked.pop("pid") != started.pop("pid")
    assert forked == started


def test_nothing_that_pytest_rewrites_is_there_already(pytester: pytest.Pytester) -> None:
    assert "warning" not in run_judging(pytester, "").stdout.str()


def test_a_run_finds_nothing_of_the_one_before(pytester: pytest.Pytester) -> None:
    make_project(
        pytester,
        test_a="""
            import os
            import perfgate.lease
            def test_it():
                assert "LEFT" not in os.environ
                assert perfgate.lease.POLL_S != 77
                os.environ["LEFT"] = "x"
                perfgate.lease.POLL_S = 77
        """,
    )
    for _ in range(2):
        pytester.runpytest_subprocess(*PLUGIN).assert_outcomes(passed=1)


def test_by_which_signal_it_was_killed_is_known(pytester: pytest.Pytester) -> None:
    make_project(pytester, test_a="import os\ndef test_it(): os.kill(os.getpid(), 9)")
    assert pytester.runpytest_subprocess(*PLUGIN).ret == -9
