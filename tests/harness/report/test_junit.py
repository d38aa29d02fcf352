"""Does a JUnit file say what the record says: figures, INVALID as an error of its own, and what has no verdict?"""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from perfgate.report.junit import VERDICT_PROPERTY, complete, properties_of
from tests.harness.report.conftest import HOST, a_compared_judgement, a_judgement, a_record, two_arms

CASE = """\
<testcase classname="tests.perf.test_overhead" name="{name}" time="0.1">
<properties><property name="perfgate_verdict" value="{verdict}" /></properties>{outcome}</testcase>"""
FAILURE = '<failure message="INVALID  overhead: …">the whole message</failure>'


def written(path: Path, *cases: str, failures: int, of_suite: str = "", **record: Any) -> ET.Element:
    """The suite of a file with these cases, after it was completed."""
    head = f'<testsuites name="pytest tests"><testsuite name="pytest" errors="0" failures="{failures}" tests="3">'
    path.write_text(f"{head}{of_suite}{''.join(cases)}</testsuite></testsuites>", encoding="utf-8")
    fields = {"limits": {}, "judgements": [a_judgement("overhead", "overhead_p95_ms")], "exit_code": 0}
    complete(path, a_record(**{**fields, **record}), Path("records/run.json"))
    suite = ET.parse(path).getroot().find("testsuite")
    assert suite is not None
    return suite


def test_the_failure_of_an_invalid_becomes_an_error_and_the_counts_follow(tmp_path: Path) -> None:
    suite = written(
        tmp_path / "out.xml",
        CASE.format(name="a", verdict="INVALID", outcome=FAILURE),
        CASE.format(name="b", verdict="FAIL", outcome=FAILURE),
        CASE.format(name="c", verdict="PASS", outcome=""),
        failures=2,
    )
    assert (suite.get("failures"), suite.get("errors")) == ("1", "1")
    (error,) = suite.iter("error")
    assert (error.get("type"), error.text) == ("perfgate.INVALID", "the whole message")
    (failure,) = suite.iter("failure")
    assert failure.get("type") is None


def test_an_invalid_that_did_not_end_its_test_is_no_error(tmp_path: Path) -> None:
    suite = written(tmp_path / "out.xml", CASE.format(name="a", verdict="INVALID", outcome=""), failures=0)
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")


def test_cases_that_passed_or_failed_stay_as_they_are(tmp_path: Path) -> None:
    cases = [CASE.format(name="a", verdict="FAIL", outcome=FAILURE), CASE.format(name="b", verdict="PASS", outcome="")]
    suite = written(tmp_path / "out.xml", *cases, failures=1)
    kept = [ET.tostring(case) for case in suite.iter("testcase")]
    assert kept == [ET.tostring(ET.fromstring(case)) for case in cases]
    assert (suite.get("failures"), suite.get("errors"), suite.get("tests")) == ("1", "0", "3")


def test_a_metric_without_a_verdict_is_a_test_case_that_did_not_pass(tmp_path: Path) -> None:
    limits = {"overhead": ["overhead_p95_ms", "error_ratio"], "latency": ["latency_p95_ms"]}
    suite = written(tmp_path / "out.xml", CASE.format(name="a", verdict="PASS", outcome=""), failures=0, limits=limits)
    missing = [case for case in suite.iter("testcase") if case.get("classname") == "perfgate"]
    assert [case.get("name") for case in missing] == ["overhead has no verdict on error_ratio", "latency did not run"]
    assert {error.get("type") for case in missing for error in case} == {"perfgate.INCOMPLETE"}
    assert (suite.get("tests"), suite.get("errors"), suite.get("failures")) == ("5", "2", "0")


def test_the_run_stands_among_the_properties_of_the_suite(tmp_path: Path) -> None:
    suite = written(tmp_path / "out.xml", failures=0, host=HOST, baseline="litellm 1.79.3", seed=7)
    first = suite[0]
    assert first.tag == "properties"
    said = {one.get("name"): one.get("value") for one in first}
    assert said == {
        "perfgate_outcome": "PASS",
        "perfgate_counts": "1 PASS, 0 FAIL, 0 INVALID",
        "perfgate_gateway": "litellm 1.106.2",
        "perfgate_baseline": "litellm 1.79.3",
        "perfgate_profile": "quick",
        "perfgate_seed": "7",
        "perfgate_host": "2 cores, AMD EPYC, 24 GiB, 6.8.0, backend processes",
        "perfgate_versions": "perfgate 0; thresholds.yaml (sha256:0)",
        "perfgate_reproduce": "pytest --profile quick --stack processes --seed 7",
        "perfgate_record": "records/run.json",
    }


def test_properties_that_the_suite_has_already_stay(tmp_path: Path) -> None:
    own = '<properties><property name="of the user" value="1" /></properties>'
    suite = written(tmp_path / "out.xml", failures=0, of_suite=own)
    assert [tag.tag for tag in suite] == ["properties"]
    names = [one.get("name") for one in suite[0]]
    assert names[0] == "of the user"
    assert "perfgate_gateway" in names
    assert "perfgate_baseline" not in names


def test_a_verdict_has_its_figures_as_properties() -> None:
    judged = a_judgement("overhead", "overhead_p95_ms", maximum=5.0)
    said = dict(properties_of(judged))
    assert said[VERDICT_PROPERTY] == "FAIL"
    assert (said["perfgate_scenario"], said["perfgate_metric"]) == ("overhead", "overhead_p95_ms")
    assert (said["perfgate_limit"], said["perfgate_limit_at"]) == ("at most 5 ms", "thresholds.yaml:8")
    assert said["perfgate_observed"].endswith(" ms")
    assert said["perfgate_fails_from"].endswith(" ms")
    assert said["perfgate_reason"] == "the interval is beyond the limit"


def test_a_comparison_has_the_slowdown_as_its_interval() -> None:
    said = dict(properties_of(a_compared_judgement("cpu_per_request_ms", two_arms(1.5))))
    assert said["perfgate_observed"] == "8 -> 12 ms"
    assert said["perfgate_interval"].startswith("+50.0 % (")
