"""Is a record whole after every write, and can a reader trust what it says of a run?"""

from dataclasses import replace
from pathlib import Path

import pytest

from perfgate.errors import BadInput, StackFailed
from perfgate.record import LeaseRecord, RecordFile, json_schema, read
from perfgate.record_entries import measurement_record
from tests.harness.report.conftest import a_compared_judgement, a_judgement, a_measurement, a_record, two_arms


def test_what_was_written_is_read(tmp_path: Path) -> None:
    RecordFile(tmp_path / "deep/r.json").write(a_record(seed=5))
    assert read(tmp_path / "deep/r.json") == a_record(seed=5)
    assert '"seed"' in json_schema()


def test_a_comparison_is_read_as_it_was_judged(tmp_path: Path) -> None:
    measured = replace(two_arms(1.5), look=2, looks=3, unasked=())
    written = a_record(
        baseline="litellm 1.79.3",
        measurements=[measurement_record(measured)],
        judgements=[a_compared_judgement("cpu_per_request_ms", measured, floor=0.2, basis="of the profile release")],
    )
    RecordFile(tmp_path / "r.json").write(written)
    again = read(tmp_path / "r.json")
    assert again == written
    (kept,), (judged,) = again.measurements, again.judgements
    assert (kept.look, kept.looks, kept.unasked, len(kept.windows)) == (2, 3, [], 18)
    assert [arm.gateway.apart for arm in kept.arms if arm.gateway] == ["baseline", "candidate"]
    assert (judged.limit.margin, judged.limit.floor, judged.limit.basis) == (0.05, 0.2, "of the profile release")
    assert (judged.limit.maximum, judged.limit.minimum, judged.estimate) == (None, None, None)
    compared = judged.comparison
    assert compared is not None
    assert (compared.baseline, compared.candidate, compared.ratio) == pytest.approx((8, 12, 1.5), rel=0.01)
    assert compared.low is not None
    assert compared.high is not None
    assert 1 < compared.low < compared.ratio < compared.high
    assert compared.allowed_ratio == 1.05
    assert compared.smallest_failing_ratio is not None
    assert compared.smallest_failing_ratio > 1.05
    assert (compared.family, compared.look, compared.looks) == (1, 2, 3)
    assert (compared.generations, compared.rounds, compared.requests) == (4, 8, 800)
    assert compared.control_ratio is not None
    assert not compared.is_improvement


def test_equivalence_and_what_became_of_a_claim_are_read_as_they_were_judged(tmp_path: Path) -> None:
    same = a_compared_judgement("rss_mib", two_arms(1.0), equivalent_within=0.3)
    claimed = a_compared_judgement("rss_mib", two_arms(1.5), margin=1.0, claim=0.05)
    RecordFile(tmp_path / "r.json").write(a_record(judgements=[same, claimed]))
    first, second = read(tmp_path / "r.json").judgements
    assert (first.limit.equivalent_within, first.limit.margin, first.verdict) == (0.3, None, "PASS")
    assert (second.limit.margin, second.limit.claim, second.verdict) == (1.0, 0.05, "PASS")
    assert second.comparison is not None
    assert second.comparison.claim == "equivalent within 5 %: refuted, different by +50.0 %"


def test_an_interval_without_an_end_is_written_as_none_and_an_improvement_as_such(tmp_path: Path) -> None:
    flat = a_compared_judgement("rss_mib", two_arms(1.2, (1.0, 1.0)))
    better = a_compared_judgement("rss_mib", two_arms(0.5))
    RecordFile(tmp_path / "r.json").write(a_record(judgements=[flat, better]))
    first, second = (judgement.comparison for judgement in read(tmp_path / "r.json").judgements)
    assert first is not None
    assert (first.low, first.high, first.smallest_failing_ratio, first.control_ratio) == (None, None, None, None)
    assert second is not None
    assert second.is_improvement


def test_what_kept_two_arms_from_being_compared_is_written(tmp_path: Path) -> None:
    measured = replace(two_arms(1.0), unasked=("Python differs",), windows=())
    RecordFile(tmp_path / "r.json").write(a_record(measurements=[measurement_record(measured)]))
    assert read(tmp_path / "r.json").measurements[0].unasked == ["Python differs"]


def test_a_write_that_fails_keeps_what_was_there(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "r.json")
    file.write(a_record(seed=1))
    (tmp_path / ".r.json.partial").mkdir()  # the temporary file cannot be opened: as on a disk that is full
    with pytest.raises(StackFailed, match="what was measured before is in"):
        file.write(a_record(seed=2))
    assert read(tmp_path / "r.json").seed == 1


def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="no record can be written there"):
        RecordFile(tmp_path / "file/r.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"r\.json is not a whole record: it ends after 0 bytes, in the middle; take another copy of it"),
        (b"no", r"r\.json is not a record of perfgate: it is not JSON: "),
        (b"\xff\xfe", r"r\.json is not a record of perfgate: it is not JSON: "),
        (b"{}", r"r\.json is not a record of perfgate: it is JSON of something else, without schema_version and "),
        (b"[1]", r"r\.json is not a record of perfgate: it is JSON of something else"),
    ],
)
def test_a_file_that_is_no_record_says_what_is_wrong(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(BadInput, match=said):
        read(tmp_path / "r.json")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_record_that_was_cut_short_is_said_to_be(tmp_path: Path, share: float) -> None:
    whole = a_record(measurements=[a_measurement(rounds=1)]).model_dump_json().encode()
    length = int(len(whole) * share)
    (tmp_path / "r.json").write_bytes(whole[:length])
    with pytest.raises(BadInput, match=f"is not a whole record: it ends after {length:,} bytes"):
        read(tmp_path / "r.json")


def test_a_record_of_another_version_is_refused_by_its_version(tmp_path: Path) -> None:
    text = a_record().model_dump_json().replace('"schema_version":5', '"schema_version":4')
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(
        BadInput, match=r"is not a record of schema 5, .* but of schema 4: take the perfgate that wrote"
    ):
        read(tmp_path / "r.json")


def test_fields_that_are_wrong_are_named(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(a_record().model_dump_json().replace('"seed":1', '"seed":"x","more":1'))
    with pytest.raises(BadInput, match=r"is not a record of schema 5: seed: Input should be .*; more: Extra inputs"):
        read(tmp_path / "r.json")


def test_what_has_no_verdict_is_said_by_scenario_and_metric() -> None:
    record = a_record(limits={"overhead": ["overhead_p95_ms", "error_ratio"], "latency": ["latency_p95_ms"]})
    assert record.without_verdict() == ["overhead did not run", "latency did not run"]
    record = record.model_copy(update={"judgements": [a_judgement("overhead", "error_ratio")]})
    assert record.without_verdict() == ["overhead has no verdict on overhead_p95_ms", "latency did not run"]
    judgements = [a_judgement("overhead", "error_ratio"), a_judgement("overhead", "overhead_p95_ms")]
    record = record.model_copy(update={"judgements": [*judgements, a_judgement("latency", "latency_p95_ms")]})
    assert record.without_verdict() == []


def a_lease(acquired_mono_s: float, released_mono_s: float | None, kind: str = "exclusive") -> LeaseRecord:
    return LeaseRecord.model_validate(
        {
            "scenario": "overhead",
            "what": "measuring overhead",
            "kind": kind,
            "waited_s": 0.0,
            "acquired_mono_s": acquired_mono_s,
            "acquired_utc": "2026-01-01T00:00:00+00:00",
            "released_mono_s": released_mono_s,
        }
    )


@pytest.mark.parametrize(
    ("leases", "covered"),
    [
        ([a_lease(9.0, 15.0)], True),
        ([a_lease(9.0, None)], True),
        ([a_lease(9.0, 15.0, "shared")], False),
        ([a_lease(10.5, 15.0)], False),
        ([a_lease(9.0, 14.05)], False),
        ([a_lease(9.0, 12.0), a_lease(12.0, 15.0)], False),
        ([a_lease(1.0, 2.0), a_lease(9.0, 15.0)], True),
        ([], False),
    ],
    ids=["within", "held still", "shared", "opened before", "drained after", "given back between", "another", "none"],
)
def test_a_window_is_leased_when_one_exclusive_lease_holds_from_its_opening_to_its_drain(
    leases: list[LeaseRecord], covered: bool
) -> None:
    """The window opens at 10.0 s, its drain ends at 14.1 s."""
    record = a_record(leases=leases, measurements=[a_measurement(rounds=1)])
    assert len(record.unleased_windows) == (0 if covered else 4)


def test_a_run_has_begun_with_its_first_lease_measurement_or_verdict() -> None:
    assert not a_record().has_begun
    assert a_record(leases=[a_lease(9.0, None)]).has_begun
    assert a_record(measurements=[a_measurement(rounds=1)]).has_begun
    assert a_record(judgements=[a_judgement("overhead", "error_ratio")]).has_begun
