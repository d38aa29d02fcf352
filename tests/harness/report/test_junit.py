"""Is an INVALID an error of its own type in a JUnit file, and is nothing else touched?"""

from pathlib import Path
from xml.etree import ElementTree as ET

from perfgate.report.junit import mark_invalid

CASE = """\
<testcase classname="tests.perf.test_overhead" name="{name}" time="0.1">
<properties><property name="perfgate_verdict" value="{verdict}" /></properties>{outcome}</testcase>"""
FAILURE = '<failure message="INVALID  overhead: …">the whole message</failure>'


def written(path: Path, *cases: str, failures: int) -> ET.Element:
    """The suite of a file with these cases, after it was marked."""
    head = f'<testsuites name="pytest tests"><testsuite name="pytest" errors="0" failures="{failures}" tests="3">'
    path.write_text(f"{head}{''.join(cases)}</testsuite></testsuites>", encoding="utf-8")
    mark_invalid(path)
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


def test_a_file_without_an_invalid_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "out.xml"
    text = f'<testsuites><testsuite errors="0" failures="1">{CASE.format(name="a", verdict="FAIL", outcome=FAILURE)}'
    path.write_text(text + "</testsuite></testsuites>", encoding="utf-8")
    before = path.read_bytes()
    assert mark_invalid(path) == 0
    assert path.read_bytes() == before
