"""Whole pytest runs, for every verdict and for bad input; the figures are made up, so nothing is started."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from perfgate import record

THRESHOLDS = """\
profiles:
  quick: {budget_minutes: 4, on_invalid: warn, scenarios: [overhead]}
scenarios:
  overhead:
    load: {offered_rps: 50, warm_up_s: 1, window_s: 4}
    rounds: {generations: 2, per_generation: 4, per_generation_max: 6}
    limits:
      overhead_p95_ms: {max: 25, why: "a reason"}
apparatus:
  {dispatch_lag_p99_ms: 2, sent_ratio_min: 0.98, generator_cpu_ratio_max: 0.8, direct_p95_above_mock_delay_ms: 5}
"""
TEST_FILE = """\
import pytest
from tests.harness.synthetic import measurement
pytestmark = pytest.mark.scenario("overhead")

def test_overhead(limits):
    limits.check("overhead_p95_ms", measurement(%s))
"""
ROOT = Path(__file__).parents[2]


def run(pytester: pytest.Pytester, arguments: str, *options: str, thresholds: str = THRESHOLDS) -> pytest.RunResult:
    pytester.makepyfile(test_overhead=TEST_FILE % arguments)
    pytester.makeini(f"[pytest]\npythonpath = {ROOT}\nmarkers =\n  scenario(name): x\n")
    (pytester.path / "thresholds.yaml").write_text(thresholds)
    return pytester.runpytest_subprocess("-p", "perfgate.plugin", "-p", "no:cacheprovider", *options)


def the_record(pytester: pytest.Pytester) -> record.Record:
    (path,) = (pytester.path / ".perfgate/records").glob("*.json")
    return record.read(path)


@pytest.mark.slow
def test_a_pass_ends_with_0_and_a_table(pytester: pytest.Pytester) -> None:
    result = run(pytester, "")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["overhead  gateway overhead, p95*at most 25 ms*PASS*", "*1 passed*"])
    assert the_record(pytester).exit_code == 0


@pytest.mark.slow
def test_a_fail_ends_with_1_and_shows_the_message_without_a_traceback(pytester: pytest.Pytester) -> None:
    result = run(pytester, "gateway_ms=90")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["FAIL  overhead: gateway overhead, p95: 9?.? ms*", "*thresholds.yaml:8 *", "*1 failed*"]
    )
    assert "Traceback" not in result.stdout.str()
    assert "limits.check" not in result.stdout.str()


@pytest.mark.slow
@pytest.mark.parametrize(("option", "code"), [("warn", 0), ("fail", 10)])
def test_an_invalid_is_counted_and_ends_as_asked(pytester: pytest.Pytester, option: str, code: int) -> None:
    result = run(pytester, "lag_ms=9", "--on-invalid", option, "--junitxml=out.xml")
    assert result.ret == code
    result.stdout.fnmatch_lines(["INVALID  overhead: *apparatus*", "*1 invalid*"])
    (case,) = ET.parse(pytester.path / "out.xml").iter("testcase")
    error = case.find("error")
    assert error is not None
    assert error.get("type") == "perfgate.INVALID"
    assert case.find("failure") is None
    assert [j.verdict for j in the_record(pytester).judgements] == ["INVALID"]


@pytest.mark.slow
def test_a_declared_scenario_without_a_verdict_ends_with_11(pytester: pytest.Pytester) -> None:
    more = THRESHOLDS.replace('"a reason"}', '"a reason"}\n      error_ratio: {max: 0.001, why: "x"}')
    result = run(pytester, "", thresholds=more)
    assert result.ret == 11
    result.stdout.fnmatch_lines(["INCOMPLETE   overhead has no verdict on error_ratio"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "thresholds", "text"),
    [
        (["--profile", "nightly"], THRESHOLDS, "*--profile=nightly: thresholds.yaml has only quick*"),
        (["--litellm", "1.82.7"], THRESHOLDS, "*litellm 1.82.7 is refused*"),
        (["--workers", "none"], THRESHOLDS, "*--workers=none: must be a whole number from 1 to 256*"),
        (["--on-invalid", "skip"], THRESHOLDS, "*--on-invalid=skip: must be one of warn, fail*"),
        (["--scenarios", "redis"], THRESHOLDS, "*--scenarios=redis: profile quick has only overhead*"),
        ([], "", "*thresholds.yaml: the file is empty*"),
        ([], THRESHOLDS.replace("max: 25", "max: abc"), "*thresholds.yaml:8: *found 'abc'*"),
        ([], THRESHOLDS.replace("overhead_p95_ms", "overhed_p95_ms"), "*:8: *did you mean overhead_p95_ms?*"),
        ([], THRESHOLDS.replace("max: 25", "margin: 5%"), "*:8: *not supported yet*"),
        ([], THRESHOLDS.replace("[overhead]", "[overhaed]"), "*:2: *no scenario 'overhaed'; did you mean overhead?*"),
    ],
)
def test_bad_input_ends_with_4_and_starts_nothing(
    pytester: pytest.Pytester, options: list[str], thresholds: str, text: str
) -> None:
    result = run(pytester, "", *options, thresholds=thresholds)
    assert result.ret == 4
    result.stderr.fnmatch_lines([text])
    assert not (pytester.path / ".perfgate").exists()


@pytest.mark.slow
def test_an_ordinary_failure_still_ends_with_1_where_nothing_is_measured(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_x():\n    assert False")
    assert pytester.runpytest_subprocess("-p", "perfgate.plugin").ret == 1


@pytest.mark.slow
def test_the_record_holds_what_the_schema_says(pytester: pytest.Pytester) -> None:
    run(pytester, "", "--seed", "77")
    written = the_record(pytester)
    assert (written.seed, written.profile, written.scenarios) == (77, "quick", ["overhead"])
    assert json.loads(record.json_schema())["title"] == "Record"
