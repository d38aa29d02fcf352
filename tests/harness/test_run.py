"""Does a run keep to its budget, say how to do it again, and write down all that it knows?"""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from perfgate import noise_seen, record
from perfgate.backend_choice import chosen_stack
from perfgate.comparison_verdict import judge_comparison
from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.comparison import FIGURES, noise_of_comparison
from perfgate.experiment.comparison_plan import NOISE, expected_noise
from perfgate.experiment.measurement import Measurement, SinkUse
from perfgate.experiment.rounds import SETTLE_S, WINDOW_EXTRA_S, RoundsPlan
from perfgate.experiment.sizes import processes_of, sizes_to_try
from perfgate.experiment.start_plan import MIGRATE_S, START_S, START_WITH_DATABASE_S
from perfgate.lease import Tenure
from perfgate.load.result import FailedReply
from perfgate.load.schedule import ClosedLoop
from perfgate.measure.host import fingerprint
from perfgate.measure.host_speed import HostSpeed
from perfgate.run import STOP_S, Asked, Run, run_name
from perfgate.settings import Option, Settings, options_given, settings_of
from perfgate.stack.engine import EngineFacts
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import RunningUrl
from perfgate.verdict import Reason, Verdict
from perfgate.versions import versions_here
from tests.harness import synthetic
from tests.harness.conftest import THRESHOLDS
from tests.harness.experiment.test_gateway_figures import TRUTHS, side_by_side
from tests.harness.report.conftest import a_record

TWO_SCENARIOS = THRESHOLDS.replace("[overhead]", "[overhead, alone]").replace(
    "apparatus:",
    """\
  alone:
    load: {requests: 25}
    rounds: {generations: 1, per_generation: 8, per_generation_max: 8}
    limits:
      overhead_p50_ms: {max: 25, why: "a reason"}
apparatus:""",
)

COMPARED = """\
profiles:
  compare: {budget_minutes: 6, on_invalid: fail, scenarios: [regression]}
  quick: {budget_minutes: 4, on_invalid: warn, scenarios: [overhead]}
  release: {budget_minutes: 90, on_invalid: fail, scenarios: [overhead, regression]}
scenarios:
  regression:
    needs: {baseline: true}
    load: {users: 2, window_s: 0.4, direct_rps: 60}
    rounds: {minutes: 5, minutes_in: {release: 15}, generations_max: 8, looks: 3}
    limits:
      cpu_per_request_ms: {margin: 5%, margin_in: {release: 2.5%}, why: "a reason"}
      rss_mib: {margin: 20%, why: "a reason"}
""" + THRESHOLDS.partition("scenarios:\n")[2]


def asked(
    folder: Path, thresholds: str = THRESHOLDS, variables: Mapping[str, str] | None = None, **options: str
) -> Asked:
    """What options by name, and variables, ask for; thresholds and record are in the folder."""
    path = folder / "thresholds.yaml"
    path.write_text(thresholds)
    given = {"thresholds": str(path), "record_dir": str(folder / "records"), "stack": "processes", **options}
    texts = {f"perfgate_{name}": text for name, text in given.items()}
    return Asked.checked(settings_of(texts.get, variables or {}), options_given(texts.get, variables or {}))


def begun(folder: Path, thresholds: str = THRESHOLDS, **options: str) -> Run:
    return Run.begun(asked(folder, thresholds, None, **options), "20260101T000000Z-1", ["pytest"])


def a_tenure(waited_s: float = 0.0, what: str = "measuring overhead") -> Tenure:
    return Tenure(what, "exclusive", waited_s, time.monotonic(), datetime.now(UTC))


def test_the_first_record_declares_everything_and_lacks_every_verdict(tmp_path: Path) -> None:
    run = begun(tmp_path, TWO_SCENARIOS, seed="5")
    assert run.file.path == tmp_path / "records/20260101T000000Z-1-quick.json"
    written = record.read(run.file.path)
    assert written.model_dump_json() == run.record.model_dump_json()
    assert (written.seed, written.gateway) == (5, f"litellm {DEFAULT_RELEASE}")
    assert written.limits == {"overhead": ["overhead_p95_ms"], "alone": ["overhead_p50_ms"]}
    assert written.incomplete == ["overhead did not run", "alone did not run"]
    assert written.thresholds_sha256 == run.thresholds.sha256
    assert written.thresholds_text == TWO_SCENARIOS
    assert written.computed_with == versions_here()
    assert Path(written.thresholds_path).resolve() == tmp_path / "thresholds.yaml"
    assert written.exit_code is None


class TestLocust:
    def test_loads_that_locust_cannot_send_are_named_before_anything_is_started(self, tmp_path: Path) -> None:
        closed = TWO_SCENARIOS.replace("[overhead, alone]", "[overhead, alone, users, streams]").replace(
            "apparatus:",
            """\
  users:
    load: {users: 2, window_s: 4}
    rounds: {generations: 1, per_generation: 2, per_generation_max: 2}
    limits:
      error_ratio: {max: 0.1, why: "a reason"}
  streams:
    load: {users: 2, window_s: 4, stream: true}
    rounds: {generations: 1, per_generation: 2, per_generation_max: 2}
    limits:
      error_ratio: {max: 0.1, why: "a reason"}
apparatus:""",
        )
        with pytest.raises(BadInput) as refused:
            asked(tmp_path, closed, load="locust")
        assert str(refused.value) == (
            "--load=locust sends what users send who wait for their replies; nothing was started:\n"
            "  overhead: 50 requests/s, whether or not earlier ones were answered: Locust has no schedule\n"
            "  alone: one request at a time, timed by pytest-benchmark\n"
            "  streams: streams, which perfgate's Locust users do not read\n"
            "next: name others with --scenarios (users), or leave --load out"
        )
        assert asked(tmp_path, closed, load="locust", scenarios="users").scenarios == ("users",)

    def test_the_record_and_every_message_say_who_sent_the_load(self, tmp_path: Path) -> None:
        compared = begun(tmp_path, COMPARED, baseline="1.79.3", load="locust", locust_workers="2")
        assert record.read(compared.file.path).generator == "Locust, workers: 2 here"
        surroundings = compared.surroundings("regression")
        assert surroundings.host.endswith("backend: processes, load by Locust, workers: 2 here")
        assert "--load locust --locust-workers 2" in surroundings.reproduce
        assert "load by" not in begun(tmp_path).surroundings("overhead").host

    def test_a_comparison_is_planned_with_the_time_that_locust_takes_beside_its_windows(self, tmp_path: Path) -> None:
        ours, locusts = (
            begun(tmp_path, COMPARED, baseline="1.79.3", **options).plan("regression")
            for options in ({}, {"load": "locust"})
        )
        assert locusts.per_generation_max < ours.per_generation_max

    def test_failed_replies_go_into_a_file_beside_the_record_and_not_into_it(self, tmp_path: Path) -> None:
        run = begun(tmp_path)
        measured = synthetic.measurement(rounds=1)
        run.keep_measurement(measured)
        assert not run.failed_replies.path.exists()
        failing = replace(measured.windows[0].load, failed_replies=(FailedReply("http_503", "no worker is free"),))
        more = measured.with_windows((replace(measured.windows[0], round=1, load=failing),))
        run.keep_measurement(more)
        run.keep_measurement(more)
        assert run.failed_replies.path == run.file.path.with_name("20260101T000000Z-1-quick-failed-replies.txt")
        assert run.failed_replies.path.read_text() == (
            "gateway, generation 0, round 1: http_503\nno worker is free\n\n"
        )
        assert "no worker is free" not in run.file.path.read_text()


def test_another_process_goes_on_with_the_record_and_its_seed(tmp_path: Path) -> None:
    first = begun(tmp_path, seed="5")
    second = Run.joined(asked(tmp_path, seed="6"), "20260101T000000Z-1")
    assert second.settings.seed == 5
    second.keep_judgement(second.judged(synthetic.measurement(), "overhead_p95_ms"))
    assert first.exit_code() is ExitCode.INCOMPLETE
    first.reread()
    assert [judgement.verdict for judgement in first.record.judgements] == ["PASS"]
    assert first.exit_code() is ExitCode.OK


def test_what_is_measured_is_the_gateway_that_the_other_process_found(tmp_path: Path) -> None:
    """A branch, or the files of a checkout, may have changed between the two."""
    begun(tmp_path)
    second = Run.joined(asked(tmp_path, litellm="1.79.3"), "20260101T000000Z-1")
    assert second.record.gateway == "litellm 1.79.3"


def test_nobody_goes_on_where_another_has_begun_to_measure(tmp_path: Path) -> None:
    run = begun(tmp_path)
    with run.leased(a_tenure(), "overhead"):
        pass
    with pytest.raises(StackFailed, match=r"begun to measure and was lost: run again; what it measured is in .*json"):
        Run.joined(asked(tmp_path), "20260101T000000Z-1")


@pytest.mark.slow
def test_names_of_runs_differ_by_process() -> None:
    code = "from perfgate.run import run_name; print(run_name())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other != run_name()
    assert other.partition("-")[0][:8].isdigit()


def test_a_lease_is_in_the_record_while_it_is_held_and_afterwards(tmp_path: Path) -> None:
    run = begun(tmp_path)
    tenure = a_tenure(waited_s=3.0)
    with run.leased(tenure, "overhead"):
        (held,) = record.read(run.file.path).leases
        assert (held.scenario, held.what, held.kind) == ("overhead", "measuring overhead", "exclusive")
        assert (held.waited_s, held.acquired_mono_s) == (3.0, tenure.acquired_mono_s)
        assert (held.released_mono_s, held.released_utc) == (None, None)
    with pytest.raises(KeyError), run.leased(a_tenure(), None):
        raise KeyError
    first, second = record.read(run.file.path).leases
    assert first.released_mono_s is not None
    assert second.released_mono_s is not None
    assert first.acquired_mono_s <= first.released_mono_s <= second.acquired_mono_s <= second.released_mono_s
    assert datetime.fromisoformat(first.acquired_utc).tzinfo is not None


def test_waiting_for_others_does_not_use_up_the_budget(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.started_mono_s -= 200
    short_s = run.time_left_s("overhead")
    assert short_s < 41
    with run.leased(a_tenure(waited_s=150.0), "overhead"):
        pass
    assert run.time_left_s("overhead") == pytest.approx(short_s + 150, abs=30)


def test_time_is_kept_for_scenarios_that_are_still_to_come(tmp_path: Path) -> None:
    run = begun(tmp_path, TWO_SCENARIOS)
    with_reserve_s = run.time_left_s("overhead")
    run.keep_measurement(synthetic.measurement(scenario="alone", rounds=1))
    assert run.time_left_s("overhead") > with_reserve_s + 10, "what is measured needs no time any more"


def test_time_is_kept_for_every_arm_of_a_scenario_that_is_still_to_come(tmp_path: Path) -> None:
    asking = THRESHOLDS.replace("[overhead]", "[overhead, endpoints]").replace(
        "apparatus:",
        """\
  endpoints:
    load: {offered_rps: 50, warm_up_s: 1, window_s: 4}
    rounds: {generations: 2, per_generation: 4, per_generation_max: 8}
    limits:
      embeddings_error_ratio: {max: 0.001, why: "a reason"}
      embeddings_overhead_p50_ms: {max: 30, why: "a reason"}
      models_error_ratio: {max: 0.001, why: "a reason"}
apparatus:""",
    )
    run = begun(tmp_path, asking)
    with_reserve_s = run.time_left_s("overhead")
    run.keep_measurement(synthetic.measurement(scenario="endpoints", rounds=1))
    # Two endpoints, directly and through the gateway, in 2 times 4 rounds of windows of 5 s each.
    assert run.time_left_s("overhead") > with_reserve_s + 4 * 8 * (5 + WINDOW_EXTRA_S)


def test_time_is_kept_for_a_search_that_is_still_to_come(tmp_path: Path) -> None:
    searching = THRESHOLDS.replace("[overhead]", "[overhead, capacity]").replace(
        "apparatus:",
        """\
  capacity:
    load: {offered_rps: 15, warm_up_s: 1, window_s: 4}
    objective: {latency_p95_ms: 250, error_ratio: 0.001, completed_ratio: 0.99}
    rounds: {generations: 4, windows_max: 16, within: 5%}
    limits: {capacity_rps: {min: 30, why: "a reason"}}
apparatus:""",
    )
    run = begun(tmp_path, searching)
    with_reserve_s = run.time_left_s("overhead")
    run.keep_measurement(synthetic.measurement(scenario="capacity", rounds=1))
    # Four gateways, some ten windows of 5 s each.
    assert run.time_left_s("overhead") > with_reserve_s + 4 * 10 * (5 + WINDOW_EXTRA_S)
    assert run.asked.stack.generations == 4


def time_kept_s(folder: Path, scenario: str, thresholds: str, **options: str) -> float:
    """For a scenario that is measured after `overhead`."""
    folder.mkdir()
    asking = THRESHOLDS.replace("[overhead]", f"[overhead, {scenario}]").replace(
        "apparatus:", f"  {scenario}:\n{thresholds}apparatus:"
    )
    run = begun(folder, asking, **options)
    before_s = run.time_left_s("overhead")
    run.keep_measurement(synthetic.measurement(scenario=scenario, rounds=1))
    return run.time_left_s("overhead") - before_s


def test_time_is_kept_for_every_process_that_a_scenario_still_to_come_starts(tmp_path: Path) -> None:
    sized = """\
    load: {users: 32, warm_up_s: 1, window_s: 4, direct_rps: 60}
    rounds: {generations: 2, per_generation: 1, per_generation_max: 1}
    limits: {size_error_ratio: {max: 0.001, why: "a reason"}}
"""
    sizes = sizes_to_try(fingerprint().cores_allowed, workers=2)
    kept_s = time_kept_s(tmp_path / "sizes", "instances", sized, workers="2")
    ready_s = START_S * processes_of(sizes) + (SETTLE_S + WINDOW_EXTRA_S) * len(sizes)
    assert kept_s == pytest.approx(2 * ready_s + 2 * (1 + len(sizes)) * (5 + WINDOW_EXTRA_S), abs=5)


def test_time_is_kept_for_the_tables_of_a_database(tmp_path: Path) -> None:
    served = """\
    needs: {services: [SERVICES]}
    load: {offered_rps: 50, warm_up_s: 1, window_s: 12}
    rounds: {generations: 2, per_generation: 1, per_generation_max: 1}
    limits:
      added_p50_ms: {max: 6, why: "a reason"}
"""
    without_s, with_s = (
        time_kept_s(tmp_path / name, "database", served.replace("SERVICES", services), instances="3")
        for name, services in (("without", ""), ("with", "postgres"))
    )
    assert with_s - without_s == pytest.approx(2 * (MIGRATE_S + 3 * (START_WITH_DATABASE_S - START_S)), abs=5)


@pytest.mark.parametrize("generations", [1, 4])
def test_one_request_at_a_time_needs_the_time_of_one_start(tmp_path: Path, generations: int) -> None:
    alone = f"""\
    load: {{requests: 25}}
    rounds: {{generations: {generations}, per_generation: 4, per_generation_max: 4}}
    limits:
      overhead_p50_ms: {{max: 25, why: "a reason"}}
"""
    requests = generations * 4 * 2 * 25
    assert time_kept_s(tmp_path / "alone", "alone", alone) == pytest.approx(START_S + requests * 0.02, abs=3)


def test_windows_are_added_to_those_that_are_written_already(tmp_path: Path) -> None:
    run, whole = begun(tmp_path), synthetic.measurement(rounds=2)
    run.keep_measurement(replace(whole, windows=whole.windows[:3]))
    run.keep_measurement(replace(whole, stopped="enough"))
    (kept,) = record.read(run.file.path).measurements
    assert len(kept.windows) == len(whole.windows)
    assert kept.stopped == "enough"
    assert [window.seed for window in kept.windows] == [window.seed for window in whole.windows]


def test_a_closed_loop_and_a_running_gateway_are_recorded_as_such(tmp_path: Path) -> None:
    run = begun(tmp_path)
    gateway = GatewaySpec(RunningUrl("http://127.0.0.1:4000", "A_KEY"))
    measured = synthetic.measurement(rounds=1)
    arms = (measured.arms[0], replace(measured.arms[1], gateway=gateway))
    windows = tuple(replace(window, gateway=None) for window in measured.windows)
    run.keep_measurement(replace(measured, arms=arms, windows=windows, schedule=ClosedLoop(20, 1.0, 4.0)))
    (kept,) = record.read(run.file.path).measurements
    assert kept.schedule == record.ClosedLoopRecord(
        users=20, warm_up_s=1.0, window_s=4.0, tail_s=ClosedLoop(20, 1.0, 4.0).tail_s, think_time_s=0.0
    )
    assert kept.arms[1].gateway is not None
    assert (kept.arms[1].gateway.words, kept.arms[1].gateway.source) == (
        "gateway at http://127.0.0.1:4000",
        "url:http://127.0.0.1:4000",
    )
    assert all(window.gateway is None for window in kept.windows)


def test_gateways_of_two_makers_are_recorded_with_the_published_table_once_they_are_measured(tmp_path: Path) -> None:
    run, whole = begun(tmp_path), replace(side_by_side(), scenario="overhead")
    run.keep_measurement(replace(whole, windows=whole.windows[:5], stopped=""))
    assert record.read(run.file.path).measurements[0].gateways == []
    run.keep_measurement(whole)
    (kept,) = record.read(run.file.path).measurements
    assert [(row.arm, row.words, row.requests) for row in kept.gateways[1:]] == [
        ("litellm_with_database", "litellm 1.79.3, with a database", 400),
        ("litellm", "litellm 1.79.3", 400),
        ("portkey", "portkey 1.15.2", 400),
    ]
    assert kept.gateways[0].words == "no gateway"
    assert [arm.gateway.product for arm in kept.arms if arm.gateway] == ["litellm", "litellm", "portkey"]


def test_too_many_errors_of_any_gateway_forbid_to_read_its_figures(tmp_path: Path) -> None:
    """The limit on errors is that of the scenario, whatever it is called there."""
    text = THRESHOLDS.replace("overhead_p95_ms: {max: 25", "litellm_to_portkey_cpu_ratio: {max: 25")
    for most, verdict in (("0.5", Verdict.PASS), ("0.01", Verdict.FAIL)):
        guarded = text.replace("    limits:", f"    limits:\n      gateways_error_ratio: {{max: {most}, why: x}}", 1)
        run = begun(tmp_path, guarded)
        failing = {**TRUTHS, "portkey": replace(TRUTHS["portkey"], failed=7)}
        measured = replace(side_by_side(failing), scenario="overhead")
        judged = run.judged(measured, "litellm_to_portkey_cpu_ratio")
        assert judged.verdict is verdict
        assert (judged.reason is Reason.ERRORS) == (verdict is Verdict.FAIL)


def test_requests_that_followed_no_schedule_have_none_in_the_record(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.keep_measurement(replace(synthetic.measurement(rounds=1), schedule=None))
    assert record.read(run.file.path).measurements[0].schedule is None


def windows_on_disk(run: Run) -> int:
    return sum(len(kept.windows) for kept in record.read(run.file.path).measurements)


def test_every_window_is_written_as_it_ends(tmp_path: Path) -> None:
    run, whole = begun(tmp_path), synthetic.measurement(rounds=2)
    for count in (1, 2, 3):
        run.keep_window(replace(whole, windows=whole.windows[:count]))
        assert windows_on_disk(run) == count


def test_short_windows_of_a_comparison_are_written_now_and_then_and_what_is_left_when_it_breaks_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, whole = begun(tmp_path, COMPARED, baseline="1.79.3"), two_arms()
    monkeypatch.setattr("perfgate.run.KEEP_EVERY_S", 3600.0)
    for count in (1, 2, 3):
        run.keep_window(replace(whole, windows=whole.windows[:count]))
        assert windows_on_disk(run) == 1
    run.keep_rest()
    assert windows_on_disk(run) == 3
    monkeypatch.setattr("perfgate.run.KEEP_EVERY_S", 0.0)
    run.keep_window(replace(whole, windows=whole.windows[:4]))
    assert windows_on_disk(run) == 4


def service(parser: str, packages: list[str], source: str = "litellm 1.106.2") -> dict[str, Any]:
    """The facts of a service."""
    return {
        "python_version": "3.13.1",
        "packages": {"listed": packages},
        "event_loop": "uvloop",
        "http_parser": parser,
        "server": "uvicorn",
        "access_log": False,
        "workers": 1,
        "source": {"words": source},
    }


def test_two_services_of_one_source_that_differ_are_noted_in_words_once(tmp_path: Path) -> None:
    run = begun(tmp_path)
    before = len(run.record.notes)
    for number in (1, 2):
        run.keep_service(f"litellm 1.106.2 (litellm-{number})", service("h11", ["h11==0.16.0"]))
        run.keep_service(
            f"litellm 1.106.2 with httptools (litellm-{number + 2})",
            service("httptools", ["h11==0.16.0", "httptools==0.7.1"]),
        )
    written = record.read(run.file.path)
    assert len(written.services) == 4
    notes = written.notes[before:]
    assert all("litellm 1.106.2 with httptools only" in note for note in notes)
    assert any("parses HTTP with h11 in litellm 1.106.2, with httptools in litellm 1.106.2 with" in n for n in notes)


def test_services_of_equal_names_that_differ_are_told_apart_by_their_process(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.keep_service("litellm 1.106.2 (litellm-1)", service("h11", []))
    run.keep_service("litellm 1.106.2 (litellm-2)", service("httptools", []))
    assert "h11 in litellm 1.106.2 (litellm-1), with httptools in litellm 1.106.2 (litellm-2)" in run.record.notes[-1]


def test_services_of_different_sources_or_of_unknown_content_are_not_compared(tmp_path: Path) -> None:
    run = begun(tmp_path)
    before = run.record.notes
    run.keep_service("litellm 1.106.2 (litellm-1)", service("h11", []))
    run.keep_service("litellm 1.79.3 (litellm-2)", service("httptools", [], "litellm 1.79.3"))
    run.keep_service("gateway at http://a", {"source": {"words": "litellm 1.106.2"}})
    run.keep_service("gateway at http://b", {"source": {"words": "litellm 1.106.2"}})
    assert run.record.notes == before


def test_a_note_is_said_once(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.note("remember this")
    run.note("remember this")
    assert run.record.notes.count("remember this") == 1


@pytest.mark.parametrize(
    ("truth", "on_invalid", "others", "code"),
    [
        ({}, "fail", [], ExitCode.OK),
        ({"gateway_ms": 90}, "warn", [], ExitCode.FAIL),
        ({"lag_ms": 9}, "fail", [], ExitCode.INVALID),
        ({"lag_ms": 9}, "warn", [], ExitCode.OK),
        ({"lag_ms": 9}, "fail", [ExitCode.STACK_FAILED], ExitCode.STACK_FAILED),
    ],
)
def test_the_exit_code_comes_from_the_record_and_from_what_else_happened(
    tmp_path: Path, truth: dict[str, float], on_invalid: str, others: list[ExitCode], code: ExitCode
) -> None:
    run = begun(tmp_path, on_invalid=on_invalid)
    run.keep_judgement(run.judged(synthetic.measurement(**truth), "overhead_p95_ms"))  # type: ignore[arg-type]
    assert run.exit_code(others) is code
    run.finish(code)
    assert json.loads(run.file.path.read_text())["exit_code"] == int(code)


def test_the_command_that_reproduces_has_what_was_given_and_what_changes_by_itself(tmp_path: Path) -> None:
    run = begun(tmp_path, workers="2", on_invalid="fail", seed="7", profile="quick")
    words = shlex.split(run.surroundings("overhead").reproduce)
    assert words[:2] == ["pytest", "tests/perf"]
    options = dict(zip(words[2::2], words[3::2], strict=True))
    assert options["--litellm"] == DEFAULT_RELEASE
    assert options["--workers"] == "2"
    assert options["--on-invalid"] == "fail"
    assert options["--seed"] == "7"
    assert options["--scenarios"] == "overhead"
    assert options["--thresholds"] == str(tmp_path / "thresholds.yaml")
    assert not options.keys() & {"--profile", "--instances", "--mock-url"}, "these are the defaults"


def test_a_path_with_a_blank_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "my limits").mkdir()
    line = begun(tmp_path / "my limits").surroundings("overhead").reproduce
    assert f"--thresholds '{tmp_path}/my limits/thresholds.yaml'" in line


def test_options_come_from_the_command_line_or_a_variable_and_defaults_are_left_out() -> None:
    texts = {"perfgate_workers": "3", "perfgate_profile": "quick"}
    environment = {"PERFGATE_WORKERS": "5", "PERFGATE_DEPS": "today", "PERFGATE_ON_INVALID": "", "HOME": "/root"}
    assert options_given(texts.get, environment) == {"--workers": "3", "--deps": "today"}


def test_why_a_baseline_is_that_one_is_not_typed_again_by_who_may_have_another_reason() -> None:
    texts = {"perfgate_baseline": "1.79.3"}
    assert options_given(texts.get, {"PERFGATE_BASELINE_WHY": "of the base branch"}) == {"--baseline": "1.79.3"}


def test_what_a_variable_would_change_is_typed_although_it_is_the_default() -> None:
    texts = {"perfgate_profile": "quick", "perfgate_instances": "1", "perfgate_images": "official"}
    environment = {"PERFGATE_PROFILE": "release", "PERFGATE_INSTANCES": "1", "PERFGATE_STACK": "auto"}
    assert options_given(texts.get, environment) == {"--profile": "quick", "--stack": "auto"}


def test_what_is_judged_is_named_once_by_the_name_that_holds() -> None:
    texts = {"perfgate_candidate": "1.102.4"}
    assert options_given(texts.get, {"PERFGATE_LITELLM": "1.79.3"}) == {"--candidate": "1.102.4"}
    assert options_given(dict[str, str]().get, {"PERFGATE_LITELLM": "1.79.3"}) == {"--litellm": "1.79.3"}


def test_a_metric_without_a_limit_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"scenarios\.overhead\.limits has no latency_p95_ms, but a test asks for it"):
        begun(tmp_path).judged(synthetic.measurement(), "latency_p95_ms")


def test_a_host_with_too_few_cores_is_bad_input(tmp_path: Path) -> None:
    needs = THRESHOLDS.replace("  overhead:\n", "  overhead:\n    needs: {cores: 4000}\n")
    with pytest.raises(
        BadInput, match=r"nothing was started:\n  overhead needs 4000 cores, and there are \d+ for us\n"
    ):
        asked(tmp_path, needs)


def test_everything_that_scenarios_lack_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfgate.stack.redis.Redis.lacking", lambda: "this host has no redis-server")
    needs = TWO_SCENARIOS.replace("  overhead:\n", "  overhead:\n    needs: {services: [redis]}\n")
    needs = needs.replace("  alone:\n", "  alone:\n    needs: {cores: 4000}\n")
    with pytest.raises(BadInput) as caught:
        asked(tmp_path, needs)
    lines = str(caught.value).splitlines()
    assert lines[0] == "this host lacks what scenarios need; nothing was started:"
    assert lines[1] == "  overhead needs Redis: this host has no redis-server"
    assert lines[2].startswith("  alone needs 4000 cores")
    assert lines[3] == "next: provide it, or name other scenarios with --scenarios"


def test_the_record_says_which_backend_ran_and_why(tmp_path: Path) -> None:
    run = begun(tmp_path, prisma_engine="wasm", images="built")
    stack = record.read(run.file.path).stack
    assert (stack.backend, stack.why, stack.engine) == ("processes", "asked for", None)
    assert (stack.images, stack.prisma_engine) == ("built", "wasm")
    assert "backend: processes (asked for)" in run.record.notes
    assert run.surroundings("overhead").host.endswith("backend: processes")


def test_the_password_of_a_database_is_in_no_record_and_no_message(tmp_path: Path) -> None:
    url = "postgresql://me:very-secret@db.example:5432/litellm"
    now = asked(tmp_path, postgres_url=url)
    run = Run.begun(now, "20260101T000000Z-1", ["pytest", f"--postgres-url={url}", "--postgres-url", url])
    assert "very-secret" not in run.file.path.read_text()
    assert run.record.command[1] == "--postgres-url=postgresql://me:***@db.example:5432/litellm"
    assert "--postgres-url 'postgresql://me:***@db.example:5432/litellm'" in run.surroundings("overhead").reproduce
    assert "very-secret" not in repr(now)


def test_where_the_variable_has_the_password_a_command_without_it_asks_for_the_same(tmp_path: Path) -> None:
    variables = {"PERFGATE_POSTGRES_URL": "postgresql://postgres:postgres@db.example:5432/postgres"}
    run = Run.begun(asked(tmp_path, variables=variables), "20260101T000000Z-1", ["pytest", "tests/perf"])
    command = shlex.join(run.record.command)
    assert "--postgres-url 'postgresql://postgres:***@db.example:5432/postgres'" in command
    assert settings_by(command, variables).postgres_url == variables["PERFGATE_POSTGRES_URL"]
    with pytest.raises(BadInput, match=r"\*\*\* in the place of the password; set PERFGATE_POSTGRES_URL to the whole"):
        settings_by(command)


def test_no_password_of_any_address_is_in_a_record(tmp_path: Path) -> None:
    typed = ["pytest", "--proxy=http://me:very-secret@proxy.example", "-k", "git@host:x"]
    assert Run.begun(asked(tmp_path), "20260101T000000Z-1", typed).record.command[1:4] == [
        "--proxy=http://me:***@proxy.example",
        "-k",
        "git@host:x",
    ]


# --- two gateways compared ---


def free_memory(available_bytes: int) -> SimpleNamespace:
    """As psutil tells it."""
    return SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=available_bytes))


@pytest.fixture
def _plenty_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a plan finds free does not depend on this host."""
    monkeypatch.setattr("perfgate.run.psutil", free_memory(64 * 2**30))


def two_arms(ratio: float = 1.0, wobble: tuple[float, ...] = (0.99, 1.01, 1.02, 0.98, 1.0, 1.0)) -> Measurement:
    """Six generations around a candidate that is slower by a ratio, in everything."""
    baseline = [synthetic.Truth().slower(w) for w in wobble]
    return synthetic.comparison(baseline, [synthetic.Truth().slower(ratio * w) for w in wobble[::-1]])


def settings_by(command: str, variables: Mapping[str, str] | None = None) -> Settings:
    """What a command that reproduces asks for, where variables may be set."""
    words = shlex.split(command)
    assert words[:2] == ["pytest", "tests/perf"]
    texts = {Option(name, "", "").destination: text for name, text in zip(words[2::2], words[3::2], strict=True)}
    return settings_of(texts.get, variables or {})


def test_a_baseline_that_no_scenario_compares_with_is_refused_and_it_is_said_where_it_could(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        asked(tmp_path, COMPARED, baseline="1.79.3", profile="quick")
    assert str(caught.value) == (
        "--baseline=1.79.3: none of overhead compares with it; name a profile with regression, or leave --baseline out"
    )
    with pytest.raises(BadInput, match="none of overhead compares with it"):
        asked(tmp_path, COMPARED, baseline="1.79.3", profile="release", scenarios="overhead")
    with pytest.raises(BadInput, match="name a profile with such a scenario, or leave --baseline out"):
        asked(tmp_path, THRESHOLDS, baseline="1.79.3", profile="quick")


def test_a_callback_that_a_release_has_behind_a_licence_is_refused_before_anything_starts(tmp_path: Path) -> None:
    logging = THRESHOLDS.replace("  overhead:\n", "  overhead:\n    needs: {callback: webhook}\n")
    with pytest.raises(BadInput, match=r"\n  overhead needs another release: the callback webhook .* litellm 1\.79\.3"):
        asked(tmp_path, logging, litellm="1.79.3")
    assert asked(tmp_path, logging, litellm="1.102.4").scenarios == ("overhead",)


def test_a_comparison_without_a_baseline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"\n  regression needs something to compare with: --baseline RELEASE, or --base"
    ):
        asked(tmp_path, COMPARED, profile="compare")
    assert asked(tmp_path, COMPARED, profile="release", scenarios="overhead").scenarios == ("overhead",)


def test_a_margin_on_what_two_arms_are_not_compared_by_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=f"completed_ratio cannot have a margin or .*: two arms are .* {', '.join(FIGURES)}\n"
    ):
        asked(tmp_path, COMPARED.replace("rss_mib", "completed_ratio"), baseline="1.79.3")


def test_the_record_names_both_arms(tmp_path: Path) -> None:
    run = begun(tmp_path, COMPARED, baseline="1.79.3", candidate="1.102.4")
    written = record.read(run.file.path)
    assert (written.profile, written.gateway, written.baseline) == ("compare", "litellm 1.102.4", "litellm 1.79.3")
    assert run.surroundings("regression").versions.startswith(
        "baseline litellm 1.79.3, candidate litellm 1.102.4 (dependencies of-its-time), perfgate "
    )
    assert record.read(begun(tmp_path).file.path).baseline is None


@pytest.mark.parametrize(
    "options",
    [
        {"baseline": "1.79.3", "candidate": "1.102.4"},
        {"baseline": "1.79.3", "litellm": "1.102.4", "workers": "2", "on_invalid": "warn"},
        {"baseline": "1.79.3", "profile": "release"},
        {"baseline": DEFAULT_RELEASE},
        {"baseline_config": "FIRST", "candidate_config": "SECOND", "model": "big"},
        {"baseline": "1.79.3", "gateway_config": "FIRST"},
        {"baseline_config": "FIRST", "gateway_config": "SECOND"},
        {"baseline": "1.79.3", "candidate": "1.102.4", "gateway_config": "FIRST", "candidate_config": "SECOND"},
        {"baseline_config": "FIRST"},
        {"candidate": "1.79.3", "profile": "quick"},
    ],
    ids=str,
)
def test_the_command_that_reproduces_a_comparison_asks_for_the_same_again(
    tmp_path: Path, options: dict[str, str]
) -> None:
    for name in ("FIRST", "SECOND"):
        (tmp_path / name).write_text("model_list:\n  - {model_name: big, litellm_params: {model: openai/gpt-4o}}\n")
    given = {key: str(tmp_path / text) if text.isalpha() and text.isupper() else text for key, text in options.items()}
    run = begun(tmp_path, COMPARED, **given)
    scenario = run.asked.scenarios[-1]
    again = settings_by(run.surroundings(scenario).reproduce)
    assert again == replace(run.settings, scenarios=(scenario,))


@pytest.mark.parametrize(
    ("variables", "options"),
    [
        ({"WORKERS": "2", "DEPS": "today"}, {}),
        ({"PROFILE": "release", "SCENARIOS": "overhead"}, {}),
        ({"PROFILE": "release", "INSTANCES": "2"}, {"profile": "quick", "instances": "1"}),
        ({"LITELLM": "1.79.3", "SEED": "9"}, {}),
        ({"CANDIDATE": "1.79.3"}, {}),
        ({"CANDIDATE": "1.79.3"}, {"litellm": "1.102.4"}),
        ({"BASELINE": "1.79.3", "LITELLM": "1.102.4", "WORKERS": "2"}, {}),
        ({"BASELINE": "1.79.3", "LITELLM": "1.80.0"}, {"candidate": "1.102.4", "on_invalid": "warn"}),
        ({"BASELINE": "1.79.3", "PROFILE": "compare"}, {"profile": "release"}),
        ({"BASELINE": "1.79.3"}, {"baseline": ""}),
        ({"BASELINE": "1.79.3", "LOAD": "locust", "LOCUST_WORKERS": "2"}, {}),
        ({"BASELINE_CONFIG": "FIRST", "CANDIDATE_CONFIG": "SECOND", "MODEL": "big"}, {}),
        ({"GATEWAY_CONFIG": "FIRST"}, {"baseline_config": "SECOND"}),
    ],
    ids=str,
)
def test_record_and_message_have_a_command_for_the_same_run_with_the_variables_and_without(
    tmp_path: Path, variables: dict[str, str], options: dict[str, str]
) -> None:
    for name in ("FIRST", "SECOND"):
        (tmp_path / name).write_text("model_list:\n  - {model_name: big, litellm_params: {model: openai/gpt-4o}}\n")

    def a_path(text: str) -> str:
        return str(tmp_path / text) if text in ("FIRST", "SECOND") else text

    environment = {f"PERFGATE_{name}": a_path(text) for name, text in variables.items()}
    now = asked(tmp_path, COMPARED, environment, **{name: a_path(text) for name, text in options.items()})
    run = Run.begun(now, "20260101T000000Z-1", ["pytest", "tests/perf"])
    scenario = now.scenarios[-1]
    for there in ({}, environment):
        kept = settings_by(shlex.join(record.read(run.file.path).command), there)
        assert replace(kept, seed=run.settings.seed) == run.settings
        again = settings_by(run.surroundings(scenario).reproduce, there)
        assert again == replace(run.settings, scenarios=(scenario,))


def test_options_that_were_typed_are_in_the_record_as_they_were_and_not_again(tmp_path: Path) -> None:
    now = asked(tmp_path, variables={"PERFGATE_DEPS": "today"}, workers="2", seed="7")
    typed = ["pytest", "tests/perf", "-k", "a b", "--workers=2", "--seed", "7"]
    command = Run.begun(now, "20260101T000000Z-1", typed).record.command
    assert command[: len(typed)] == typed
    added = dict(zip(command[len(typed) :: 2], command[len(typed) + 1 :: 2], strict=True))
    assert added.keys() == {"--thresholds", "--record-dir", "--stack", "--deps"}


def test_the_command_that_reproduces_names_each_arm_once(tmp_path: Path) -> None:
    run = begun(tmp_path, COMPARED, baseline="1.79.3", litellm="1.102.4")
    line = run.surroundings("regression").reproduce
    assert "--profile compare" in line, "which is nobody's default where no baseline is named"
    assert "--baseline 1.79.3" in line
    assert "--candidate 1.102.4" in line
    assert "--litellm" not in line


@pytest.mark.usefixtures("_plenty_of_memory")
class TestPlanOfAComparison:
    @pytest.fixture
    def run(self, tmp_path: Path) -> Run:
        return begun(tmp_path, COMPARED, baseline="1.79.3")

    def test_it_is_said_in_words_and_noted(self, run: Run) -> None:
        assert run.plan_words("regression") == ()
        plan = run.plan("regression")
        first, *others = run.plan_words("regression")
        assert first.startswith(f"regression: plan: {plan.generations} generations of each arm, ")
        assert {first, *others} <= set(run.record.notes)
        assert (plan.looks, plan.one_direct) == (3, True)
        assert plan.generations <= 8

    def test_the_smallest_margin_of_the_profile_is_what_it_is_made_for(self, tmp_path: Path) -> None:
        for profile, margin in (("compare", "+5.0%"), ("release", "+2.5%")):
            run = begun(tmp_path, COMPARED, baseline="1.79.3", profile=profile)
            run.plan("regression")
            assert f"expected: a limit of {margin} passes" in run.plan_words("regression")[1]

    def test_other_scenarios_have_the_rounds_of_the_file_and_nothing_to_say(self, tmp_path: Path) -> None:
        run = begun(tmp_path)
        assert run.plan("overhead") == RoundsPlan(2, 4, 6)
        assert run.plan_words("overhead") == ()
        assert run.fitted_plan("overhead", RoundsPlan(2, 4, 6)) == RoundsPlan(2, 4, 6)

    def test_too_little_memory_is_bad_input(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("perfgate.run.psutil", free_memory(2**30))
        with pytest.raises(BadInput, match=r"1\.0 GiB are free"):
            run.plan("regression")

    def test_memory_that_is_promised_to_its_gateways_is_what_they_are_counted_with(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What their processes need, 4 GiB for eight gateways, would fit."""
        engine = EngineFacts("28.2.2", "unix:///x", 64, 2**40, "2", "overlay2", "Debian")
        monkeypatch.setattr("perfgate.run.chosen_stack", partial(chosen_stack, look=lambda: engine))
        options = {"stack": "containers", "instances": "2", "memory_per_instance": "10g"}
        run = begun(tmp_path, COMPARED, baseline="1.79.3", **options)
        with pytest.raises(BadInput, match=r"two gateways alive, 160\.0 GiB together; 64\.0 GiB are free"):
            run.plan("regression")

    @pytest.mark.parametrize(("profile", "minutes"), [("compare", 5), ("release", 15)])
    def test_it_has_minutes_of_its_own_that_begin_with_it(self, tmp_path: Path, profile: str, minutes: float) -> None:
        run = begun(tmp_path, COMPARED, baseline="1.79.3", profile=profile)
        run.started_mono_s -= 3600
        run.plan("regression")
        most_s = minutes * 60 - STOP_S
        assert most_s - 60 < run.time_left_s("regression") <= most_s

    def test_once_its_gateways_are_up_it_fits_into_what_is_left(self, run: Run) -> None:
        plan = run.plan("regression")
        run._begun_mono_s["regression"] -= 240  # as if starting had taken four of its five minutes
        fitted = run.fitted_plan("regression", plan)
        assert fitted.per_generation_max < plan.per_generation_max
        assert (fitted.generations, fitted.looks) == (plan.generations, plan.looks)

    @pytest.mark.parametrize(("profile", "minutes"), [("release", 15), ("both", 5)])
    def test_the_minutes_of_a_comparison_that_is_still_to_come_are_kept_for_it(
        self, tmp_path: Path, profile: str, minutes: float
    ) -> None:
        thresholds = COMPARED.replace(
            "  release: {",
            "  both: {budget_minutes: 90, on_invalid: fail, scenarios: [overhead, regression]}\n  release: {",
            1,
        )
        run = begun(tmp_path, thresholds, baseline="1.79.3", profile=profile)
        before_s = run.time_left_s("overhead")
        run.keep_measurement(two_arms())
        assert before_s + (minutes - 1) * 60 < run.time_left_s("overhead") <= before_s + minutes * 60

    def test_the_noise_of_the_last_comparison_is_what_the_next_is_planned_with(self, run: Run) -> None:
        run.plan("regression")
        expected = expected_noise(run.thresholds.scenarios["regression"].load.schedule)
        words = f"{expected.process_sd:.1%} between processes, {expected.round_sd:.1%} between"
        assert words in " ".join(run.record.notes)
        noisy = two_arms(wobble=(0.8, 1.2, 1.3, 0.7, 1.0, 1.0))
        run.keep_noise(noisy)
        seen = noise_of_comparison(noisy)
        assert seen.process_sd > 2 * NOISE.process_sd
        run.plan("regression")
        assert f"(SD of a pair: {seen.process_sd:.1%} between processes" in " ".join(run.plan_words("regression"))

    def test_the_noise_of_anything_else_or_of_what_was_not_measured_is_not_kept(self, run: Run) -> None:
        run.keep_noise(synthetic.measurement())
        run.keep_noise(replace(two_arms(), windows=()))
        assert not (run.settings.record_dir / noise_seen.FILE).exists()


class TestJudgingAComparison:
    @pytest.mark.parametrize(
        ("profile", "margin", "basis"), [("compare", 0.05, ""), ("release", 0.025, "of the profile release")]
    )
    def test_limits_are_those_of_the_profile(self, tmp_path: Path, profile: str, margin: float, basis: str) -> None:
        run = begun(tmp_path, COMPARED, baseline="1.79.3", profile=profile)
        found = run.judged(two_arms(), "cpu_per_request_ms")
        assert (found.limit.margin, found.limit.basis) == (margin, basis)
        assert run.judged(two_arms(), "rss_mib").limit.margin == 0.2

    def test_all_limits_are_judged_as_one_family_and_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[Measurement] = []

        def counting(measured: Measurement, *rest: Any) -> Any:
            calls.append(measured)
            return judge_comparison(measured, *rest)

        monkeypatch.setattr("perfgate.rules.judge_comparison", counting)
        run, measured = begun(tmp_path, COMPARED, baseline="1.79.3"), two_arms(1.5)
        assert run.is_decided(measured)
        found = [run.judged(measured, metric) for metric in ("cpu_per_request_ms", "rss_mib")]
        assert [one.compared.family for one in found if one.compared] == [2, 2]
        assert len(calls) == 1
        other = two_arms(1.0)
        assert run.judged(other, "rss_mib").verdict == "PASS"
        assert calls == [measured, other]

    def test_it_is_decided_when_no_limit_is_open(self, tmp_path: Path) -> None:
        run = begun(tmp_path, COMPARED, baseline="1.79.3")
        assert run.is_decided(two_arms(1.5))
        assert not run.is_decided(two_arms(1.05)), "CPU lies at its margin, memory far below its own"
        assert run.is_decided(replace(two_arms(), unasked=("Python differs",))), "more rounds would not help"


class TestDrift:
    """Held against the record of an earlier run of the same host class."""

    TEXT = (
        COMPARED.replace("margin: 20%", "margin: 20%, drift: 30%")
        .replace("max: 25", "max: 25, drift: 30%")
        .replace("scenarios:\n", "HOSTS\ndrift: {record: old.json}\nscenarios:\n", 1)
        .replace(
            "HOSTS",
            "hosts: {here: {cores: 2, memory_gib: 8, cpu_models: ['*'], backend: processes, host_speed_ms: 10}}",
        )
    )

    def earlier(self, folder: Path, ratio: float) -> None:
        """The committed record, of a candidate that was slower by a ratio."""
        (folder / "old.json").write_text(a_record(finished_utc="2026-01-01T00:06:00+00:00").model_dump_json())
        run = self.begun(folder)
        for measured in (two_arms(ratio), synthetic.measurement(gateway_ms=12 * ratio)):
            run.keep_measurement(measured)
            for metric in run.thresholds.scenarios[measured.scenario].limits:
                run.keep_judgement(run.judged(measured, metric))
        run.finish(ExitCode.OK)
        record.RecordFile(folder / "old.json").write(run.record)

    def begun(self, folder: Path) -> Run:
        run = begun(folder, self.TEXT, baseline="1.79.3", profile="release")
        run.record = run.record.model_copy(update={"host_class": "here"})  # whatever this host is
        run.keep_host_speed(HostSpeed(10.0, 9.0, 11.0, 60, 1))
        return run

    @pytest.mark.parametrize(("then", "verdict"), [(1.0, "PASS"), (0.6, "FAIL")])
    def test_limits_of_both_kinds_are_held_against_the_record(self, tmp_path: Path, then: float, verdict: str) -> None:
        self.earlier(tmp_path, then)
        run = self.begun(tmp_path)
        for judgement in (
            run.judged(two_arms(1.0), "rss_mib"),
            run.judged(synthetic.measurement(), "overhead_p95_ms"),
        ):
            assert judgement.verdict == verdict
            run.keep_judgement(judgement)
        assert run.judged(two_arms(1.0), "cpu_per_request_ms").drift is None
        outcomes = [kept.drift.outcome for kept in record.read(run.file.path).judgements if kept.drift is not None]
        assert outcomes == ["kept" if verdict == "PASS" else "exceeded"] * 2

    def test_a_comparison_goes_on_while_a_drift_is_open(self, tmp_path: Path) -> None:
        self.earlier(tmp_path, 1 / 1.3)
        run = self.begun(tmp_path)
        assert run.judged(two_arms(), "rss_mib").reason.name == "UNDECIDED"
        assert not run.is_decided(two_arms())

    def test_on_a_host_of_no_class_it_is_said_and_not_judged(self, tmp_path: Path) -> None:
        self.earlier(tmp_path, 0.6)
        run = self.begun(tmp_path)
        run.record = run.record.model_copy(update={"host_class": None})
        judgement = run.judged(two_arms(), "rss_mib")
        assert judgement.verdict == "PASS"
        assert "this host is in no class" in getattr(judgement.drift, "why", "")

    def test_a_record_that_is_not_there_is_bad_input_before_anything_starts(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match=r"thresholds\.yaml:\d+: drift\.record: .*old\.json: cannot be read"):
            self.begun(tmp_path)
        assert not (tmp_path / "records").exists()


LOGGED = """\
profiles:
  callbacks: {budget_minutes: 20, on_invalid: fail, scenarios: [regression]}
scenarios:
  regression:
    needs: {callback: langsmith}
    load: {users: 2, window_s: 2.5, direct_rps: 60}
    rounds: {minutes: 5}
    limits:
      cpu_per_request_ms: {equivalent_within: 5%, why: "a reason"}
      log_records_missing_ratio: {max: 0, why: "a reason"}
""" + THRESHOLDS[THRESHOLDS.index("apparatus:") :]


class TestJudgingACallback:
    """It is compared with the gateway without it, and counted beside that."""

    @pytest.fixture
    def run(self, tmp_path: Path) -> Run:
        return begun(tmp_path, LOGGED, profile="callbacks")

    def logging(self, ratio: float = 1.0, requests: int = 100, lost: int = 0) -> Measurement:
        """Both arms, of which every window of the candidate has lost so many of its records."""
        measured, sink = two_arms(ratio), SinkUse(requests, requests - lost, requests - lost, 0.5)
        windows = [replace(window, sink=sink) if window.arm == "candidate" else window for window in measured.windows]
        return replace(measured, windows=tuple(windows))

    def test_each_kind_of_limit_has_its_verdict_and_there_is_no_baseline_to_name(self, run: Run) -> None:
        assert run.record.baseline is None
        good, bad = self.logging(), self.logging(1.2, lost=1)
        for measured, verdict in ((good, "PASS"), (bad, "FAIL")):
            assert run.judged(measured, "cpu_per_request_ms").verdict == verdict
            assert run.judged(measured, "log_records_missing_ratio").verdict == verdict

    def test_it_is_decided_when_neither_kind_is_open(self, run: Run) -> None:
        assert run.is_decided(self.logging())
        assert run.is_decided(self.logging(lost=1)), "a count is what it is"
        assert not run.is_decided(self.logging(1.05))
        assert not run.is_decided(self.logging(requests=0)), "nothing was counted yet"

    def test_what_the_sink_counted_is_in_the_record(self, run: Run) -> None:
        run.keep_measurement(self.logging(lost=3))
        kept = record.read(run.file.path).measurements[0].windows
        assert {window.sink for window in kept if window.arm == "baseline"} == {None}
        assert [w.sink.distinct for w in kept if w.arm == "candidate" and w.sink is not None] == [97] * 12

    @pytest.mark.usefixtures("_plenty_of_memory")
    def test_records_that_are_waited_for_leave_time_for_fewer_rounds(self, run: Run) -> None:
        plain, waiting = (run.plan("regression", drain_s=seconds) for seconds in (0.0, 4.0))
        assert (plain.drain_s, waiting.drain_s) == (0.0, 4.0)
        assert waiting.generations * waiting.per_generation_max < plain.generations * plain.per_generation_max
