"""Do pytest-benchmark's single requests come under limits, and is what it did not measure INVALID and never a pass?

Whole pytest runs with callers that only pretend to send.
"""

import json
from pathlib import Path

import pytest

from perfgate import record

ROOT = Path(__file__).parents[2]
THRESHOLDS = """\
profiles:
  quick: {budget_minutes: 4, on_invalid: warn, scenarios: [single_request]}
scenarios:
  single_request:
    load: {requests: 50}
    rounds: {generations: 1, per_generation: 4, per_generation_max: 4}
    limits:
      overhead_p50_ms: {max: 5000, why: "a reason"}
      error_ratio: {max: 0.001, why: "a reason"}
apparatus:
  {dispatch_lag_p99_ms: 2, sent_ratio_min: 0.98, generator_cpu_ratio_max: 0.8, direct_p95_above_mock_delay_ms: 5000}
"""
TEST_FILE = """\
import time
import pytest
from perfgate.benchmarks import SingleRequests
from perfgate.experiment.single_requests import Sent
from tests.harness.synthetic import DIRECT, GATEWAY

pytestmark = pytest.mark.scenario("single_request")

class Caller:
    def __init__(self):
        self.sent = []
    def __call__(self):
        now = time.monotonic()
        self.sent.append(Sent(now, now, 0.0, 200, "", None, 10))

@pytest.fixture(scope="module")
def single(_perfgate_turns):
    run = _perfgate_turns.run
    return SingleRequests("single_request", (DIRECT, GATEWAY), Caller(), Caller(), 50, 4, run.keep_measurement)

def test_direct(benchmark, single):
    single.time_direct(benchmark)

def test_gateway(benchmark, single):
    before = len(single.direct.sent)
    single.time_pairs(benchmark)
    assert len(single.through.sent) == len(single.direct.sent) - before

def test_requests_succeed(single, limits):
    single.check("error_ratio", limits)

def test_overhead(single, limits):
    single.check("overhead_p50_ms", limits)
"""


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    pytester.makepyfile(test_single=TEST_FILE)
    pytester.makeini(f"[pytest]\npythonpath = {ROOT}\nmarkers =\n  scenario(name): x\n")
    (pytester.path / "thresholds.yaml").write_text(THRESHOLDS)
    return pytester.runpytest_subprocess("-p", "perfgate.plugin", "-p", "no:cacheprovider", *options)


def verdicts(pytester: pytest.Pytester) -> list[tuple[str, str]]:
    """Of the newest run."""
    path = max((pytester.path / ".perfgate/records").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [(judgement.metric, judgement.verdict) for judgement in record.read(path).judgements]


@pytest.mark.slow
def test_pairs_are_judged_and_the_benchmark_keeps_them(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--benchmark-json=out.json")
    result.assert_outcomes(passed=4)
    assert verdicts(pytester) == [("error_ratio", "PASS"), ("overhead_p50_ms", "PASS")]
    benchmarks = {one["name"]: one for one in json.loads((pytester.path / "out.json").read_text())["benchmarks"]}
    assert benchmarks["test_gateway"]["stats"]["rounds"] == 200
    assert benchmarks["test_gateway"]["extra_info"].keys() == {"failed", "overhead_p50_ms"}


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--benchmark-disable"], ["-n", "1"]], ids=["disabled", "xdist"])
def test_what_the_benchmark_did_not_measure_is_invalid(pytester: pytest.Pytester, options: list[str]) -> None:
    result = run(pytester, *options)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*because *pytest-benchmark does not measure under xdist*run without -n*"])
    assert verdicts(pytester) == [("error_ratio", "INVALID"), ("overhead_p50_ms", "INVALID")]


@pytest.mark.slow
def test_a_limit_without_its_measurement_is_invalid_and_says_which_test_measures(pytester: pytest.Pytester) -> None:
    result = run(pytester, "-k", "overhead")
    assert result.ret == 11
    result.stdout.fnmatch_lines(["*because *the test that calls time_pairs() did not run: it measures"])


@pytest.mark.slow
def test_two_stored_runs_can_be_compared(pytester: pytest.Pytester) -> None:
    assert run(pytester, "--benchmark-save=first").ret == 0
    result = run(pytester, "--benchmark-save=second", "--benchmark-compare=0001")
    assert result.ret == 0
    result.stdout.fnmatch_lines_random(["test_gateway (NOW)*", "test_gateway (0001_first)*"])
