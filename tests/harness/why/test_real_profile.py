"""Does the real py-spy find what burns in the real LiteLLM?

Takes half a minute with a warm cache, and a kernel that lets us trace processes.
"""

import os
from pathlib import Path
from typing import Final

import pytest

from perfgate.experiment.arms import BASELINE, CANDIDATE, Arm, GatewaySpec
from perfgate.experiment.bench import StackBench
from perfgate.load.schedule import ClosedLoop
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.litellm import FAULTS_FILE
from perfgate.stack.sources import Release
from perfgate.stack.supervision import Supervisor
from perfgate.why.gains import gains_of
from perfgate.why.profiler import Profiler, PtraceRefused, program_path
from perfgate.why.profiling import profiled
from tests.harness.stack.conftest import eventually, pids_with_argument

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("real_gateway")]

#: The share of a request's CPU that the candidate burns more, and by which model's name.
BURNT_RATIO: Final = 0.2
BURNING: Final = "burn-20pc"


def test_a_function_that_burns_is_named_first_with_what_it_burns(tmp_path: Path) -> None:
    """One process serves both arms: the model's name makes the difference, so that nothing else does."""
    gateway = GatewaySpec(Release("1.79.3"), faults=True)
    with (
        Supervisor(tmp_path) as supervisor,
        StackBench(EnvironmentCache.of_user(os.environ), parent_dir=tmp_path, say=print) as bench,
    ):
        profiler = Profiler(supervisor, program_path(), cpus=bench.cores.mock)
        try:
            profiler.check()
        except PtraceRefused as refused:
            pytest.skip(f"not run: {refused}")
        profile = profiled(
            bench,
            profiler,
            "why",
            Arm(BASELINE, gateway),
            Arm(CANDIDATE, gateway, BURNING),
            ClosedLoop(users=2, warm_up_s=0, window_s=1.5),
            generations=1,
            minutes=0,
            seed=7,
        )
    assert eventually(lambda: not pids_with_argument(str(tmp_path)))
    gains = gains_of(profile)
    first = gains.gained[0]
    assert (first.function.name, first.function.file) == ("Faults.async_pre_call_hook", FAULTS_FILE)
    assert BURNT_RATIO / 2 < first.own.gain_us / gains.all.baseline_us < BURNT_RATIO * 2
    # It is called by LiteLLM, whose files are named as in every environment.
    files = {function.file for stack in profile.us(CANDIDATE) for function in stack}
    assert "litellm/proxy/proxy_server.py" in files
    assert not [file for file in files if file.startswith("/")]
