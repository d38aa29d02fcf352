"""What does a JUnit file say of a run: verdicts with their figures, an INVALID that is no failure, what is missing?

Comes in: the file that pytest wrote, in which each judged test carries what `properties_of` says, and the run's record.
Goes out: the same file, changed. A PASS that rests on a waiver is a test that passed, as JUnit has nothing between: its
property `perfgate_verdict` is `PASS, waived`, and another, `perfgate_waiver`, says what is waived, until when and why.

    INVALID                     an error of type perfgate.INVALID, not a failure
    a metric without a verdict  a test case of its own with an error of type perfgate.INCOMPLETE: what did not run would
                                otherwise read as a pass
    the run                     properties of the suite
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from perfgate.record import JudgementRecord, Record
from perfgate.report.outcome import summed_up
from perfgate.report.plain_text import plain
from perfgate.report.provenance import host_words, reproduce, versions
from perfgate.report.rows import row_of

VERDICT_PROPERTY: Final = "perfgate_verdict"
WAIVER_PROPERTY: Final = "perfgate_waiver"
#: Of a property of the run; its command is the longest.
CHARS_MAX: Final = 4_000


def properties_of(judgement: JudgementRecord) -> list[tuple[str, str]]:
    """What a test case says of a verdict, by name; a test of several has each name as often."""
    row = row_of(judgement)
    return [
        (VERDICT_PROPERTY, judgement.verdict_words),
        ("perfgate_scenario", row.scenario),
        ("perfgate_metric", row.metric),
        ("perfgate_observed", row.observed),
        ("perfgate_interval", row.interval),
        ("perfgate_limit", row.limit),
        ("perfgate_limit_at", row.place),
        ("perfgate_fails_from", row.fails_from),
        ("perfgate_reason", row.reason),
    ]


def complete(path: Path, record: Record, record_path: Path) -> None:
    """Bring a file in line with the record of its run.

    Args:
        path: of the file.
        record: of the run, which has ended.
        record_path: where it is.
    """
    tree = ET.parse(path)
    _mark_invalid(tree)
    suite = next(tree.iter("testsuite"), None)
    if suite is not None:
        _add_properties(suite, _of_run(record, record_path))
        _add_missing(suite, record.without_verdict())
    tree.write(path, encoding="utf-8", xml_declaration=True)


def _mark_invalid(tree: "ET.ElementTree[ET.Element]") -> None:
    """Turn the failure of every test whose verdict is INVALID into an error, counts included."""
    for suite in tree.iter("testsuite"):
        for case in suite.iter("testcase"):
            verdicts = [p.get("value") for p in case.iter("property") if p.get("name") == VERDICT_PROPERTY]
            failure = case.find("failure")
            if "INVALID" not in verdicts or failure is None:
                continue
            failure.tag = "error"
            failure.set("type", "perfgate.INVALID")
            suite.set("failures", str(int(suite.get("failures", "1")) - 1))
            suite.set("errors", str(int(suite.get("errors", "0")) + 1))


def _add_missing(suite: ET.Element, sentences: list[str]) -> None:
    for sentence in map(plain, sentences):
        case = ET.SubElement(suite, "testcase", classname="perfgate", name=sentence, time="0.000")
        ET.SubElement(case, "error", type="perfgate.INCOMPLETE", message=sentence).text = sentence
        for count in ("tests", "errors"):
            suite.set(count, str(int(suite.get(count, "0")) + 1))


def _add_properties(suite: ET.Element, properties: Mapping[str, str]) -> None:
    found = suite.find("properties")
    if found is None:
        found = ET.Element("properties")
        suite.insert(0, found)
    for name, value in properties.items():
        ET.SubElement(found, "property", name=name, value=plain(value, CHARS_MAX))


def _of_run(record: Record, record_path: Path) -> dict[str, str]:
    summing = summed_up(record)
    return {
        "perfgate_outcome": summing.outcome.value,
        "perfgate_counts": summing.counts,
        "perfgate_gateway": record.gateway,
        **({"perfgate_baseline": record.baseline} if record.baseline is not None else {}),
        "perfgate_profile": record.profile,
        "perfgate_seed": str(record.seed),
        "perfgate_host": host_words(record),
        "perfgate_versions": "; ".join(version.words for version in versions(record)),
        "perfgate_reproduce": reproduce(record),
        "perfgate_record": str(record_path),
    }
