"""Does a whole run by Locust end in verdicts as any other does, and a worker that is lost in no verdict at all?

The mock stands in for the gateway as well, so that nothing has to be installed.
"""

from typing import Final

import pytest

from perfgate.exit_codes import ExitCode
from tests.harness.conftest import PLUGIN, make_project, the_record
from tests.harness.load.conftest import Mock

pytestmark = pytest.mark.slow

THRESHOLDS: Final = """\
profiles:
  quick: {budget_minutes: 1, on_invalid: fail, scenarios: [users]}
scenarios:
  users:
    load:
      {users: 4, spawn_per_s: 40, think_time_s: 0.01, think_time_max_s: 0.02, warm_up_s: 0.2, window_s: 0.5,
       direct_rps: 40}
    rounds: {generations: 1, per_generation: 2, per_generation_max: 2}
    limits:
      error_ratio: {max: 0.1, why: "a reason"}
apparatus:
  {dispatch_lag_p99_ms: 2, sent_ratio_min: 0.98, generator_cpu_ratio_max: 0.8, direct_p95_above_mock_delay_ms: 5}
"""
MEASURING: Final = """
    import pytest
    pytestmark = pytest.mark.scenario("users")
    def test_it(stack, rounds, limits):
        limits.check("error_ratio", rounds.run(stack.arms("direct", "gateway")))
"""
#: The same, with a worker that is killed as the first window opens.
KILLING: Final = """
    import psutil
    import pytest
    pytestmark = pytest.mark.scenario("users")
    def test_it(stack, rounds, limits):
        run = stack.bench.generator.run
        def killing(job, *, on_event=None):
            def on(event):
                workers = psutil.Process(stack.bench.generator.pid).children()
                if event == "window_opened" and len(workers) == 2:
                    workers[0].kill()
                if on_event is not None:
                    on_event(event)
            return run(job, on_event=on)
        stack.bench.generator.run = killing
        limits.check("error_ratio", rounds.run(stack.arms("direct", "gateway")))
"""


def run_by_locust(pytester: pytest.Pytester, mock: Mock, test_file: str) -> pytest.RunResult:
    make_project(pytester, THRESHOLDS, test_users=test_file)
    gateway = ("--litellm", f"url:{mock.base_url}", "--mock-url", f"{mock.base_url}/v1")
    return pytester.runpytest_subprocess(*PLUGIN, *gateway, "--load", "locust", "--locust-workers", "2")


def test_it_is_judged_like_any_other_and_says_who_sent_it(pytester: pytest.Pytester, mock: Mock) -> None:
    result = run_by_locust(pytester, mock, MEASURING)
    assert result.ret == ExitCode.OK, result.stdout.str()
    written = the_record(pytester)
    assert written.generator == "Locust, workers: 2 here"
    (judgement,) = written.judgements
    assert (judgement.metric, judgement.verdict) == ("error_ratio", "PASS")
    assert "2 Locust workers" in judgement.apparatus
    (measured,) = written.measurements
    assert [len(window.load.workers) for window in measured.windows] == [2] * 4
    assert all(window.load.sent == window.load.succeeded > 0 for window in measured.windows)
    direct = [window.load for window in measured.windows if window.arm == "direct"]
    # Four users who think 0.1 s: at most 5 requests each in 0.5 s, beside those that were due as the window opened.
    assert all(load.sent <= 4 * 6 for load in direct), "as many users, who keep to direct_rps"


def test_a_worker_killed_in_mid_run_leaves_no_verdict(pytester: pytest.Pytester, mock: Mock) -> None:
    result = run_by_locust(pytester, mock, KILLING)
    assert result.ret == ExitCode.INVALID, result.stdout.str()
    result.stdout.fnmatch_lines(
        [
            "*INVALID*",
            "*because*1 of 2 Locust workers reported: what the others sent is in no figure*",
            "*likely*1. a Locust worker was killed, or lost its connection*",
        ]
    )
    (judgement,) = the_record(pytester).judgements
    assert judgement.verdict == "INVALID"
