"""Is a whole bundle verified, and is every other one refused, with the file that was altered and how?"""

import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from perfgate.errors import BadInput
from perfgate.report.bundle import SUMS, sha256_of, with_sums
from perfgate.report.sign_off import (
    DOCUMENT,
    MANIFEST,
    RATES,
    REPORT,
    THRESHOLDS,
    KeptRecord,
    files_of,
    made_with_here,
    named,
)
from perfgate.report.verify import NotABundle, verify
from tests.harness.recorded_runs import (
    TWO_SCENARIOS,
    a_finished_run,
    alone,
    overhead,
    rates_of,
)

# One worker makes the bundle for all of them, and judges each record once.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("_drawn_once", "_judged_once"),
    pytest.mark.xdist_group("verify"),
]

Files = Mapping[str, bytes]
#: Bytes changed of each file.
FLIPS: Final = 3


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeptRecord, ...]:
    folder = tmp_path_factory.mktemp("parts")
    return tuple(
        KeptRecord.read(a_finished_run(folder, thresholds=TWO_SCENARIOS, scenarios=name, name=f"2026-{name}"))
        for name in ("overhead", "alone")
    )


@pytest.fixture(scope="module")
def bundle(parts: tuple[KeptRecord, ...]) -> Files:
    """As `perfgate signoff` makes it."""
    return with_sums(files_of(named(parts), rates_of(parts[0].record.host)))


def record_name(bundle: Files, scenario: str = "overhead") -> str:
    (name,) = [name for name in bundle if scenario in name]
    return name


def with_file(bundle: Files, name: str, content: bytes) -> Files:
    return {**bundle, name: content}


def summed_anew(bundle: Files) -> Files:
    """With sums that fit, as somebody would leave it who knows what they are for."""
    return with_sums({name: content for name, content in bundle.items() if name != SUMS})


def said(files: Files) -> list[str]:
    return [str(finding) for finding in verify(files).findings]


def accused(files: Files) -> set[str]:
    return {finding.file for finding in verify(files).findings}


def test_a_whole_bundle_is_verified_in_words(bundle: Files) -> None:
    found = verify(bundle)
    assert found.findings == ()
    assert found.notes == ()
    assert found.words == (
        "litellm 1.106.2, profile release: 3 limits PASS, judged again from 32 windows; 7 files have their sums"
    )


def test_without_rates_it_is_verified_too(parts: tuple[KeptRecord, ...]) -> None:
    assert verify(with_sums(files_of(named(parts), None))).findings == ()


def test_anything_else_is_no_bundle() -> None:
    with pytest.raises(NotABundle, match="no sign-off bundle: it has neither SHA256SUMS nor sign-off"):
        verify({"a": b"b"})


# --- one byte ---


@pytest.mark.parametrize("which", ["record", THRESHOLDS, DOCUMENT, REPORT, MANIFEST, RATES, SUMS])
def test_one_byte_anywhere_in_a_file_is_found_and_that_file_alone_is_named(bundle: Files, which: str) -> None:
    name = record_name(bundle) if which == "record" else which
    rng, content = Random(7), bundle[name]
    for place in [0, len(content) - 1, *(rng.randrange(len(content)) for _ in range(FLIPS))]:
        altered = bytearray(content)
        altered[place] ^= 1
        assert accused(with_file(bundle, name, bytes(altered))) == {name}, place


def test_how_a_record_was_altered_is_said(bundle: Files) -> None:
    name = record_name(bundle)
    data = json.loads(bundle[name])
    for window in data["measurements"][0]["windows"]:
        if window["arm"] == "gateway":
            window["load"]["succeeded"] -= 10
    altered = json.dumps(data, indent=1).encode()
    sums, *verdicts = said(with_file(bundle, name, altered))
    assert sums.startswith(f"{name}: it was altered: it has ")
    assert f"{name}: overhead.error_ratio: verdict is recorded as PASS, by the raw windows it is FAIL" in verdicts


def test_a_record_whose_verdicts_stay_is_altered_all_the_same(bundle: Files) -> None:
    name = record_name(bundle)
    altered = bundle[name].replace(b'"seed": 7', b'"seed": 8').replace(b'"seed":7', b'"seed":8')
    assert altered != bundle[name]
    assert said(with_file(bundle, name, altered)) == [
        f"{name}: it was altered: it has {len(altered):,} bytes, as when it was signed off, but other ones",
        f"{name}: its verdicts are those of its windows all the same",
    ]


@pytest.mark.parametrize(
    ("name", "old", "new", "how"),
    [
        (
            THRESHOLDS,
            b"max: 25",
            b"max: 26",
            "line 9 is '      overhead_p95_ms: {max: 26, why: \"a reason\"}', the rec",
        ),
        (DOCUMENT, b"3 of 3 limits PASS", b"4 of 4 limits PASS", "line 3 is '4 of 4 limits PASS, in 2 scenarios of"),
        (
            MANIFEST,
            b'"profile": "release"',
            b'"profile": "nightly"',
            'line 3 is \' "profile": "nightly",\', the records',
        ),
    ],
)
def test_how_a_text_was_altered_is_said_with_the_line(
    bundle: Files, name: str, old: bytes, new: bytes, how: str
) -> None:
    altered = with_file(bundle, name, bundle[name].replace(old, new, 1))
    for files in (altered, summed_anew(altered)):
        (finding,) = said(files)
        assert finding.startswith(f"{name}: it was altered: {how}")


def test_how_a_report_was_altered_is_said_with_what_is_around_it(bundle: Files) -> None:
    """The record is in one long line of it."""
    lines = bundle[REPORT].split(b"\n")
    longest = max(range(len(lines)), key=lambda number: len(lines[number]))
    line = lines[longest]
    assert len(line) > 5_000
    place = len(line) // 2
    other = b"B" if line[place : place + 1] == b"A" else b"A"
    lines[longest] = line[:place] + other + line[place + 1 :]
    (finding,) = said(with_file(bundle, REPORT, b"\n".join(lines)))
    around = line[place - 20 : place].decode()
    assert finding.startswith(
        f"{REPORT}: it was altered: line {longest + 1}, at character {place + 1:,}, is '…{around}"
    )
    assert f", the records make it '…{around}{chr(line[place])}" in finding
    assert len(finding) < 400


def test_a_text_that_ends_early_or_goes_on_is_said(bundle: Files) -> None:
    lines = bundle[THRESHOLDS].count(b"\n")
    cut = with_file(bundle, THRESHOLDS, b"\n".join(bundle[THRESHOLDS].split(b"\n")[:5]))
    assert said(cut) == [f"{THRESHOLDS}: it was altered: it ends after 5 lines, the records make {lines + 1}"]
    longer = with_file(bundle, THRESHOLDS, bundle[THRESHOLDS] + b"# more")
    (finding,) = said(longer)
    assert finding.startswith(f"{THRESHOLDS}: it was altered: line {lines + 1} is '# more', the records make it ''")


def test_a_sum_that_was_altered_is_not_the_files_fault(bundle: Files) -> None:
    for name in (record_name(bundle), THRESHOLDS, RATES, MANIFEST, DOCUMENT, REPORT):
        right = sha256_of(bundle[name]).encode()
        altered = bundle[SUMS].replace(right, b"0" * 64)
        (finding,) = said(with_file(bundle, SUMS, altered))
        assert finding.startswith(f"{SUMS}: its line of {name} was altered: ")


# --- whole files ---


@pytest.mark.parametrize("which", ["record", THRESHOLDS, DOCUMENT, REPORT, MANIFEST, RATES, SUMS])
def test_a_file_that_is_missing_is_named(bundle: Files, which: str) -> None:
    name = record_name(bundle) if which == "record" else which
    rest = {each: content for each, content in bundle.items() if each != name}
    assert f"{name}: it is missing" in said(rest)
    assert accused(rest) == {name}


def test_a_file_that_was_added_is_named(bundle: Files) -> None:
    assert said(with_file(bundle, "more.txt", b"x")) == [f"more.txt: it was added: it is in no line of {SUMS}"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_record_that_was_cut_short_is_said_to_be(bundle: Files, share: float) -> None:
    name = record_name(bundle)
    cut = bundle[name][: int(len(bundle[name]) * share)]
    sums, how = said(with_file(bundle, name, cut))
    assert sums == f"{name}: it was altered: it has {len(cut):,} bytes, {len(bundle[name]):,} when it was signed off"
    assert how.startswith(f"{name}: is not a whole record: it ends after {len(cut):,} bytes, in the middle")


@pytest.mark.parametrize(
    ("content", "how"),
    [
        (b'{"results": []}', "is not a record of perfgate: it is JSON of something else"),
        (b"<html>", "is not a record of perfgate: it is not JSON"),
        (
            b'{"schema_version": 3, "perfgate_version": "0"}',
            "is not a record of schema 5, which this perfgate reads, but",
        ),
    ],
    ids=["another tool's", "no JSON", "older"],
)
def test_a_foreign_record_is_said_to_be_one_also_when_its_sum_fits(bundle: Files, content: bytes, how: str) -> None:
    name = record_name(bundle)
    findings = said(summed_anew(with_file(bundle, name, content)))
    assert findings[0].startswith(f"{name}: {how}")
    assert {finding.partition(":")[0] for finding in findings} == {name}


# --- by somebody who makes all files fit ---


def forged(path: Path, change: Any) -> Files:
    """A bundle of a record that was changed by hand, made as if it were a good one."""
    data = json.loads(path.read_text())
    change(data)
    kept = KeptRecord.of(json.dumps(data).encode(), path.name)
    return with_sums(files_of(named([kept]), None))


def test_a_fail_that_was_turned_into_a_pass_is_found_by_the_windows(tmp_path: Path) -> None:
    def passed(data: Any) -> None:
        data["judgements"][0]["verdict"], data["exit_code"] = "PASS", 0

    path = a_finished_run(tmp_path, [overhead(90.0), alone()], thresholds=TWO_SCENARIOS)
    (finding,) = said(forged(path, passed))
    assert finding == (
        f"records/01-{path.name}: overhead.overhead_p95_ms: verdict is recorded as PASS, by the raw windows it is FAIL"
    )


def test_thresholds_that_were_eased_in_the_record_are_found_by_their_hash(tmp_path: Path) -> None:
    def eased(data: Any) -> None:
        data["thresholds_text"] = data["thresholds_text"].replace("max: 25", "max: 250")

    path = a_finished_run(tmp_path, thresholds=TWO_SCENARIOS)
    (finding,) = said(forged(path, eased))
    assert finding.startswith(f"records/01-{path.name}: the record holds ")
    assert finding.endswith(": one of the two was altered")


@pytest.mark.parametrize(
    ("measured", "said_of_it"),
    [
        (
            [overhead(90.0), alone()],
            "it blocks a sign-off: overhead.overhead_p95_ms is FAIL: the interval is beyond the",
        ),
        ([overhead()], "it blocks a sign-off: alone did not run"),
    ],
    ids=["fail", "incomplete"],
)
def test_a_bundle_of_a_version_that_must_not_be_signed_off_is_refused(
    tmp_path: Path, measured: Any, said_of_it: str
) -> None:
    path = a_finished_run(tmp_path, measured, thresholds=TWO_SCENARIOS)
    findings = said(forged(path, lambda data: None))
    assert any(finding.startswith(f"records/01-{path.name}: {said_of_it}") for finding in findings)


def test_records_that_are_mixed_are_refused(parts: tuple[KeptRecord, ...]) -> None:
    data = json.loads(parts[1].content) | {"gateway": "litellm 1.79.3"}
    other = KeptRecord.of(json.dumps(data).encode(), parts[1].name)
    (finding,) = said(with_sums(files_of(named([parts[0], other]), None)))
    assert finding.startswith(
        f"{MANIFEST}: its records are not of one sign-off: the gateway is litellm 1.79.3 in records/01-"
    )


# --- by another perfgate ---


def test_texts_that_other_versions_made_are_held_against_their_sums_alone(
    bundle: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perfgate.report.verify.made_with_here", lambda: {**made_with_here(), "rich": "99"})
    found = verify(bundle)
    assert found.findings == ()
    (note,) = found.notes
    assert note.startswith(
        f"{DOCUMENT}, {REPORT} and {MANIFEST} were held against their sums alone, since they were made with rich "
    )
    assert note.endswith(" (here 99)")
    for name in (DOCUMENT, REPORT, THRESHOLDS):
        assert accused(with_file(bundle, name, b"x")) == {name}


def test_a_bundle_that_an_older_perfgate_made_without_a_report_is_not_said_to_lack_it(bundle: Files) -> None:
    manifest = json.loads(bundle[MANIFEST])
    del manifest["files"][REPORT]
    older = {name: content for name, content in bundle.items() if name != REPORT}
    ours = summed_anew(with_file(older, MANIFEST, json.dumps(manifest).encode()))
    assert f"{REPORT}: it is missing" in said(ours)
    manifest["made_with"]["perfgate"] = "0.0.9"
    theirs = summed_anew(with_file(older, MANIFEST, json.dumps(manifest).encode()))
    assert said(theirs) == []


def test_a_record_that_only_another_perfgate_reads_is_not_said_to_be_altered(
    bundle: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perfgate.report.verify.made_with_here", lambda: {**made_with_here(), "perfgate": "9.9"})
    name = record_name(bundle)
    older = bundle[name].replace(b'"schema_version": 5', b'"schema_version": 4', 1)
    with pytest.raises(BadInput, match=r"made by perfgate 0\.1\.0, and this is 9\.9: records/.* but of schema 4: take"):
        verify(summed_anew(with_file(bundle, name, older)))
    assert accused(with_file(bundle, name, older)) == {name}, "its sum does not fit"
