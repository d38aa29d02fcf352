"""Is a version signed off by whole, equal, kept runs alone, and is everything else named?"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib import rc_context

from perfgate.errors import BadInput
from perfgate.exit_codes import ExitCode
from perfgate.report.html import ReportedRun, page
from perfgate.report.series import NotDrawable
from perfgate.report.sign_off import (
    DOCUMENT,
    MANIFEST,
    RATES,
    RECORDS,
    REPORT,
    THRESHOLDS,
    Block,
    KeptRecord,
    blocks,
    files_of,
    fitting_rates,
    made_with_here,
    named,
    refusals,
    untrue,
)
from perfgate.report.sign_off_manifest import sign_off_of
from tests.harness.recorded_runs import (
    TWO_SCENARIOS,
    a_finished_run,
    a_service,
    alone,
    overhead,
    rates_of,
)
from tests.harness.synthetic import measurement

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("_drawn_once")]

Json = Any


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeptRecord, KeptRecord]:
    """The two halves of a profile, each a run of its own."""
    folder = tmp_path_factory.mktemp("parts")
    first, second = (
        KeptRecord.read(a_finished_run(folder, thresholds=TWO_SCENARIOS, scenarios=name, name=f"2026-{name}"))
        for name in ("overhead", "alone")
    )
    return first, second


def changed(kept: KeptRecord, change: Callable[[Json], object], name: str = "") -> KeptRecord:
    data = json.loads(kept.content)
    change(data)
    return KeptRecord.of(json.dumps(data).encode(), name or kept.name)


def but(kept: KeptRecord, **fields: Json) -> KeptRecord:
    """The record with other fields."""
    return changed(kept, lambda data: data.update(fields))


def broken(folder: Path, *measured: Any, **options: Any) -> KeptRecord:
    """A run of the whole profile that measured these."""
    return KeptRecord.read(a_finished_run(folder, measured, thresholds=TWO_SCENARIOS, **options))


# --- of one sign-off, or not ---


def test_two_halves_of_a_profile_are_a_sign_off(parts: tuple[KeptRecord, KeptRecord]) -> None:
    assert refusals(parts) == []
    assert blocks(parts) == []
    assert untrue(parts) == []


def test_hosts_and_seeds_may_differ(parts: tuple[KeptRecord, KeptRecord]) -> None:
    other = but(parts[1], host={"cpu_model": "another"}, host_class=None, seed=99)
    assert refusals([parts[0], other]) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"perfgate_version": "9"}, "perfgate is 0.1.0 in FIRST, 9 in SECOND"),
        ({"gateway": "litellm 1.79.3"}, "the gateway is litellm 1.106.2 in FIRST, litellm 1.79.3 in SECOND"),
        ({"profile": "quick"}, "SECOND is of the profile quick: a sign-off is made of runs with --profile release"),
        (
            {"scenarios": ["alone", "overhead"]},
            "overhead is in FIRST and in SECOND: each scenario counts once, so leave",
        ),
        ({"thresholds_sha256": "ff"}, "the SHA-256 of the thresholds is "),
    ],
    ids=["perfgate", "gateway", "profile", "scenario twice", "thresholds"],
)
def test_records_that_are_mixed_are_refused_by_name(
    parts: tuple[KeptRecord, KeptRecord], fields: Json, said: str
) -> None:
    first, second = parts
    (sentence,) = refusals([first, but(second, **fields)])
    assert sentence.startswith(said.replace("FIRST", first.name).replace("SECOND", second.name))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("backend", "containers", "the backend is processes"), ("images", "built", "--images is official")],
)
def test_other_backends_and_images_are_refused(
    parts: tuple[KeptRecord, KeptRecord], field: str, value: str, said: str
) -> None:
    other = changed(parts[1], lambda data: data["stack"].update({field: value}))
    (sentence,) = refusals([parts[0], other])
    assert sentence.startswith(f"{said} in ")


def test_a_baseline_may_be_missing_where_nothing_is_compared_but_not_be_another(
    parts: tuple[KeptRecord, KeptRecord],
) -> None:
    first, second = parts
    old = but(second, baseline="litellm 1.79.3")
    assert refusals([first, old]) == []
    (sentence,) = refusals([but(first, baseline="litellm 1.80.0"), old])
    assert sentence == f"the baseline is litellm 1.80.0 in {first.name}, litellm 1.79.3 in {second.name}"


def test_packages_that_differ_between_services_of_one_name_are_refused(parts: tuple[KeptRecord, KeptRecord]) -> None:
    first = but(parts[0], services=[a_service("litellm 1.106.2 (litellm-1)", "httpx==0.27.0")])
    same = but(parts[1], services=[a_service("litellm 1.106.2 (litellm-9)", "httpx==0.27.0")])
    other = but(parts[1], services=[a_service("litellm 1.106.2 (litellm-9)", "httpx==0.28.1")])
    elsewhere = but(parts[1], services=[a_service("litellm 1.106.2 with x (litellm-9)", "httpx==0.28.1")])
    assert refusals([first, same]) == []
    assert refusals([first, elsewhere]) == []
    (sentence,) = refusals([first, other])
    assert sentence == f"litellm 1.106.2: httpx is 0.27.0 in {first.name}, 0.28.1 in {other.name}"


# --- complete and PASS, or not ---


def test_a_scenario_that_nobody_ran_blocks_by_name(parts: tuple[KeptRecord, KeptRecord]) -> None:
    assert blocks(parts[:1]) == [Block("alone did not run", "", ExitCode.INCOMPLETE)]


def test_a_scenario_that_was_asked_for_and_did_not_run_blocks_with_its_record(tmp_path: Path) -> None:
    half = broken(tmp_path, overhead())
    assert half.record.exit_code == ExitCode.INCOMPLETE
    assert blocks([half]) == [Block("alone did not run", half.name, ExitCode.INCOMPLETE)]
    assert str(blocks([half])[0]) == f"alone did not run ({half.name})"


def test_a_limit_of_the_thresholds_without_a_verdict_blocks_whatever_the_record_declares(
    parts: tuple[KeptRecord, KeptRecord],
) -> None:
    def without(data: Json) -> None:
        data["judgements"] = [each for each in data["judgements"] if each["metric"] != "error_ratio"]
        data["limits"] = {"overhead": ["overhead_p95_ms"]}

    (block,) = blocks([changed(parts[0], without), parts[1]])
    assert (block.sentence, block.code) == ("overhead has no verdict on error_ratio", ExitCode.INCOMPLETE)


def test_every_verdict_that_is_not_pass_blocks_by_name(tmp_path: Path) -> None:
    run = broken(tmp_path, measurement(lag_ms=9), alone(90.0))
    assert blocks([run]) == [
        Block(
            "overhead.overhead_p95_ms is INVALID: apparatus: what measures was not fit, so nothing is said of the "
            "gateway",
            run.name,
            ExitCode.INVALID,
        ),
        Block("alone.overhead_p50_ms is FAIL: the interval is beyond the limit", run.name, ExitCode.FAIL),
    ]


def test_an_invalid_blocks_also_where_it_only_warned(tmp_path: Path) -> None:
    run = broken(tmp_path, measurement(lag_ms=9), alone(), on_invalid="warn")
    assert run.record.exit_code == 0
    assert [block.code for block in blocks([run])] == [ExitCode.INVALID]


@pytest.mark.parametrize(
    ("code", "sentence", "blocked"),
    [
        (None, "the run was not finished: it was killed, or still goes on", ExitCode.INCOMPLETE),
        (1, "the run ended with exit code 1: a limit or a test failed", ExitCode.FAIL),
        (2, "the run ended with exit code 2: interrupted", ExitCode.INTERRUPTED),
        (10, "the run ended with exit code 10: something could not be judged", ExitCode.INVALID),
        (12, "the run ended with exit code 12: the stack failed", ExitCode.STACK_FAILED),
        (99, "the run ended with exit code 99: of no meaning", ExitCode.INTERNAL),
    ],
)
def test_a_run_that_ended_badly_blocks_although_all_its_limits_pass(
    parts: tuple[KeptRecord, KeptRecord], code: int | None, sentence: str, blocked: ExitCode
) -> None:
    first, second = parts
    assert blocks([first, but(second, exit_code=code)]) == [Block(sentence, second.name, blocked)]


def test_windows_that_others_may_have_disturbed_block(parts: tuple[KeptRecord, KeptRecord]) -> None:
    (block,) = blocks([parts[0], but(parts[1], leases=[])])
    assert block.sentence == "16 windows were measured while this run did not have the host for itself"


def test_thresholds_without_the_profile_are_refused(parts: tuple[KeptRecord, KeptRecord]) -> None:
    text = TWO_SCENARIOS.replace("  release:", "  nightly:")
    other = but(parts[0], thresholds_text=text, thresholds_sha256=hashlib.sha256(text.encode()).hexdigest())
    with pytest.raises(BadInput, match=r"thresholds\.yaml has no profile release: there is nothing to sign off by"):
        blocks([other])


def test_verdicts_that_are_not_those_of_the_windows_are_untrue(tmp_path: Path) -> None:
    run = broken(tmp_path, overhead(90.0), alone())

    def forged(data: Json) -> None:
        data["judgements"][0]["verdict"], data["exit_code"] = "PASS", 0

    now = changed(run, forged)
    assert blocks([now]) == []
    (block,) = untrue([now])
    assert block == Block(
        "overhead.overhead_p95_ms: verdict is recorded as PASS, by the raw windows it is FAIL",
        run.name,
        ExitCode.ALTERED,
    )


def test_windows_that_cannot_be_read_are_said_with_their_record(parts: tuple[KeptRecord, KeptRecord]) -> None:
    def cut(data: Json) -> None:
        data["measurements"][0]["windows"][0]["load"]["latency"] = "HISTF"

    with pytest.raises(BadInput, match=f"^{parts[0].name}: overhead: what was measured cannot be read"):
        untrue([changed(parts[0], cut)])


# --- what is in the bundle ---


def test_records_are_named_in_the_order_of_time_also_when_their_files_have_one_name(
    parts: tuple[KeptRecord, KeptRecord],
) -> None:
    late = changed(parts[0], lambda data: data.update(started_utc="2026-01-02T00:00:00+00:00"), "a/same.json")
    early = changed(parts[1], lambda data: data.update(started_utc="2026-01-01T00:00:00+00:00"), "b/same.json")
    assert dict(named([late, early])) == {"records/01-same.json": early, "records/02-same.json": late}


def test_the_files_are_the_records_as_they_were_and_what_is_made_of_them(
    parts: tuple[KeptRecord, KeptRecord],
) -> None:
    records = named(parts)
    files = files_of(records, None)
    assert list(files) == [*records, THRESHOLDS, REPORT, DOCUMENT, MANIFEST]
    assert all(files[name] == one.content for name, one in records.items())
    assert files[THRESHOLDS].decode() == TWO_SCENARIOS
    assert files_of(records, None) == files, "made again they are the same"


def test_the_report_is_that_of_all_records_under_their_names_in_the_bundle(
    parts: tuple[KeptRecord, KeptRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[ReportedRun] = []

    def drawn(runs: Sequence[ReportedRun]) -> str:
        asked.extend(runs)
        return "drawn"

    monkeypatch.setattr("perfgate.report.html.page", drawn)
    records = named(parts)
    assert files_of(records, None)[REPORT] == b"drawn"
    assert [(f"{RECORDS}{run.file}", run.content, run.record) for run in asked] == [
        (name, one.content, one.record) for name, one in sorted(records.items())
    ]


def test_drawn_again_the_report_is_the_same_whatever_is_set_up_for_matplotlib(
    parts: tuple[KeptRecord, KeptRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perfgate.report.html.page", page)
    records = named(parts)
    first = files_of(records, None)[REPORT]
    with rc_context({"font.size": 20.0, "axes.grid": False, "lines.linewidth": 9.0, "axes.linewidth": 5.0}):
        assert files_of(records, None)[REPORT] == first
    assert first.count(b"<figure>") > 2


def test_a_report_that_cannot_be_drawn_is_said_with_its_records(
    parts: tuple[KeptRecord, KeptRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(runs: Sequence[ReportedRun]) -> str:
        raise NotDrawable("overhead: no histogram")

    monkeypatch.setattr("perfgate.report.html.page", fails)
    with pytest.raises(
        BadInput, match=r"^no report can be made of records/01-.*, records/02-.*: overhead: no histogram$"
    ):
        files_of(named(parts), None)


def test_the_manifest_says_all_that_a_program_may_ask(parts: tuple[KeptRecord, KeptRecord]) -> None:
    services = [a_service("litellm 1.106.2 (litellm-1)", "h11==0.16.0"), {"name": "mock", "facts": {"backend": "x"}}]
    records = named([but(parts[0], services=services), but(parts[1], baseline="litellm 1.79.3", services=services)])
    rates = rates_of(parts[0].record.host)
    files = files_of(records, rates)
    said = sign_off_of(files[MANIFEST], MANIFEST)
    assert (said.profile, said.gateway, said.baseline) == ("release", "litellm 1.106.2", "litellm 1.79.3")
    assert said.made_with == made_with_here()
    assert [run.scenarios for run in said.runs] == [one.record.scenarios for one in records.values()]
    assert [run.host for run in said.runs] == [one.record.host for one in records.values()]
    assert {verdict.verdict for verdict in said.verdicts} == {"PASS"}
    assert len(said.verdicts) == 3
    assert [service.name for service in said.services] == ["litellm 1.106.2", "mock"]
    assert said.services[0].packages_sha256 == hashlib.sha256(b"h11==0.16.0").hexdigest()
    assert said.services[1].packages is None
    assert said.selftest == RATES
    assert {name: facts.sha256 for name, facts in said.files.items()} == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name != MANIFEST
    }
    assert said.files[THRESHOLDS].bytes == len(TWO_SCENARIOS.encode())


def test_the_page_to_sign_has_version_verdicts_hosts_digests_and_rates(
    parts: tuple[KeptRecord, KeptRecord],
) -> None:
    host = {"cores_allowed": 2, "cpu_model": "A | B", "memory_bytes": 24 * 2**30}
    services = [a_service("litellm 1.106.2 (litellm-1)", "h11==0.16.0")]
    first = but(parts[0], host=host, services=services, notes=["~~~~ a note", "another"], gateway="litellm `x`")
    page = files_of(named([first, but(parts[1], gateway="litellm `x`", notes=[])]), rates_of(host))[DOCUMENT].decode()
    assert page.startswith("# Sign-off of `litellm 'x'`\n\n3 of 3 limits PASS, in 2 scenarios of the profile release: ")
    assert "Signed off by: ___" in page
    assert "overhead  gateway overhead, p95" in page
    assert "| overhead | `2 cores A \\| B, 24 GiB` | none | 13 ms | processes | 7 |" in page
    assert f"1 package, SHA-256 {hashlib.sha256(b'h11==0.16.0').hexdigest()}" in page
    assert "`Python 3.13.1, uvloop, httptools`" in page
    assert "| none | 1.2% (0.4% to 2.0%) | " in page
    assert "~~~ ~ a note\nanother\n~~~~" in page


def test_without_rates_the_page_says_that_there_are_none(parts: tuple[KeptRecord, KeptRecord]) -> None:
    host = parts[0].record.host
    for rates in (None, rates_of(host, profile="gate")):
        page = files_of(named(parts), rates)[DOCUMENT].decode()
        assert "Nobody has published that for a host like these" in page


def test_rates_fit_when_they_are_of_one_of_the_hosts(parts: tuple[KeptRecord, KeptRecord]) -> None:
    mine = rates_of(parts[1].record.host)
    elsewhere = but(parts[0], host={"cpu_model": "another"})
    assert fitting_rates(mine, "rates.json", [elsewhere, parts[1]]) == mine
    assert fitting_rates(mine, "rates.json", [elsewhere]) is None
