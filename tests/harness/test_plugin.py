"""Whole pytest runs, for every verdict and for bad input; the figures are made up, so nothing is started."""

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast
from xml.etree import ElementTree as ET

import psutil
import pytest

from perfgate import record
from perfgate.errors import BadInput
from perfgate.experiment.arms import Arm
from perfgate.experiment.bench import StackBench
from perfgate.experiment.measurement import Measurement
from perfgate.lease import Lease
from perfgate.load.schedule import ClosedLoop
from perfgate.plugin import CapacitySearch, Limits, ProgressLine, Rounds, Stack, Turns
from perfgate.report.bundle import SUMS, read_bundle
from perfgate.report.sign_off import DOCUMENT
from perfgate.run import Asked, Run
from perfgate.settings import settings_of
from perfgate.thresholds import Rounds as CountedRounds
from tests.harness import synthetic
from tests.harness.conftest import (
    MEASURING,
    PATIENCE_S,
    PLUGIN,
    ROOT,
    TEST_FILE,
    THRESHOLDS,
    a_run,
    make_project,
    read_until,
    run_judging,
    the_record,
)
from tests.harness.recorded_runs import TWO_SCENARIOS


@pytest.mark.slow
def test_a_pass_ends_with_0_and_a_table(pytester: pytest.Pytester) -> None:
    result = run_judging(pytester, "")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["overhead  gateway overhead, p95*at most 25 ms*PASS*", "*1 passed*"])
    assert the_record(pytester).exit_code == 0


@pytest.mark.slow
def test_a_fail_ends_with_1_and_shows_the_message_without_a_traceback(pytester: pytest.Pytester) -> None:
    result = run_judging(pytester, "gateway_ms=90")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["FAIL  overhead: gateway overhead, p95: 9?.? ms*", "*thresholds.yaml:8 *", "*1 failed*"]
    )
    assert "Traceback" not in result.stdout.str()
    assert "limits.check" not in result.stdout.str()


@pytest.mark.slow
@pytest.mark.parametrize(("option", "code"), [("warn", 0), ("fail", 10)])
def test_an_invalid_is_counted_and_ends_as_asked(pytester: pytest.Pytester, option: str, code: int) -> None:
    result = run_judging(pytester, "lag_ms=9", "--on-invalid", option, "--junitxml=out.xml")
    assert result.ret == code
    result.stdout.fnmatch_lines(["INVALID  overhead: *apparatus*", "*1 invalid*"])
    (case,) = ET.parse(pytester.path / "out.xml").iter("testcase")
    error = case.find("error")
    assert error is not None
    assert error.get("type") == "perfgate.INVALID"
    assert case.find("failure") is None
    said = {one.get("name"): one.get("value") for one in case.iter("property")}
    assert (said["perfgate_verdict"], said["perfgate_metric"]) == ("INVALID", "overhead_p95_ms")
    assert [j.verdict for j in the_record(pytester).judgements] == ["INVALID"]


@pytest.mark.slow
def test_what_the_host_lacks_makes_a_figure_invalid_that_else_would_fail(pytester: pytest.Pytester) -> None:
    judging = TEST_FILE % "gateway_ms=90"
    make_project(pytester, test_overhead=judging.replace("))", '), lacks="four cores")'))
    result = pytester.runpytest_subprocess(*PLUGIN)
    result.stdout.fnmatch_lines(["INVALID  overhead: gateway overhead, p95: 9?.? ms*", "  because    four cores"])
    (judgement,) = the_record(pytester).judgements
    assert judgement.estimate is not None


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_waived_limit_ends_with_0_and_is_told_apart_everywhere(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    waived = (
        "waivers:\n- {scenario: overhead, metric: overhead_p95_ms, ceiling: 120, why: mended soon, "
        "expires: 9999-12-31, link: https://example.org/1}\n"
    )
    result = run_judging(pytester, "gateway_ms=90", "--junitxml=out.xml", *options, thresholds=THRESHOLDS + waived)
    assert result.ret == 0
    line = (
        "overhead: gateway overhead, p95: at most 25 ms is waived up to at most 120 ms until 9999-12-31 "
        "(thresholds.yaml:12), needed: mended soon (https://example.org/1)"
    )
    result.stdout.fnmatch_lines(
        [
            "overhead *at most 25 ms*PASS, waived*",
            f"waiver       {line}",
            "perfgate: 1 PASS (1 of them waived), 0 FAIL*",
        ]
    )
    result.stdout.fnmatch_lines(["*= 1 waived in *"])
    (case,) = ET.parse(pytester.path / "out.xml").iter("testcase")
    properties = {found.get("name"): found.get("value") for found in case.iter("property")}
    assert (properties["perfgate_verdict"], properties["perfgate_waiver"]) == ("PASS, waived", line)
    assert case.find("failure") is None
    (judgement,) = the_record(pytester).judgements
    assert (judgement.verdict, judgement.is_waived) == ("PASS", True)


@pytest.mark.slow
def test_a_waived_limit_that_is_beyond_its_ceiling_fails(pytester: pytest.Pytester) -> None:
    waived = (
        "waivers:\n- {scenario: overhead, metric: overhead_p95_ms, ceiling: 60, why: mended soon, "
        "expires: 9999-12-31, link: https://example.org/1}\n"
    )
    result = run_judging(pytester, "gateway_ms=90", thresholds=THRESHOLDS + waived)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["  waiver     at most 60 ms until 9999-12-31: broken    thresholds.yaml:12"])


@pytest.mark.slow
def test_a_declared_scenario_without_a_verdict_ends_with_11(pytester: pytest.Pytester) -> None:
    more = THRESHOLDS.replace('"a reason"}', '"a reason"}\n      error_ratio: {max: 0.001, why: "x"}')
    result = run_judging(pytester, "", thresholds=more)
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
        (
            [],
            THRESHOLDS + "waivers:\n- {scenario: overhead, metric: overhead_p95_ms, ceiling: 60, why: x, "
            "expires: 2026-01-01, link: https://example.org/1}\n",
            "*thresholds.yaml:12: waivers?0?.expires: expired on 2026-01-01, today is 20*",
        ),
        (
            [],
            THRESHOLDS.replace("max: 25", "margin: 5%"),
            "*:4: *limits by margin or equivalent_within go with rounds*",
        ),
        ([], THRESHOLDS.replace("[overhead]", "[overhaed]"), "*:2: *no scenario 'overhaed'; did you mean overhead?*"),
    ],
)
def test_bad_input_ends_with_4_and_starts_nothing(
    pytester: pytest.Pytester, options: list[str], thresholds: str, text: str
) -> None:
    result = run_judging(pytester, "", *options, thresholds=thresholds)
    assert result.ret == 4
    result.stderr.fnmatch_lines([text])
    assert not (pytester.path / ".perfgate").exists()


@pytest.mark.slow
def test_an_ordinary_failure_still_ends_with_1_where_nothing_is_measured(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_x():\n    assert False")
    assert pytester.runpytest_subprocess("-p", "perfgate.plugin").ret == 1
    assert not (pytester.path / ".perfgate").exists()


@pytest.mark.slow
def test_collecting_alone_checks_and_writes_nothing(pytester: pytest.Pytester) -> None:
    result = run_judging(pytester, "", "--collect-only")
    assert result.ret == 0
    assert not (pytester.path / ".perfgate").exists()
    assert "perfgate:" not in result.stdout.str()
    assert run_judging(pytester, "", "--collect-only", "--profile", "nightly").ret == 4


@pytest.mark.slow
def test_scenarios_that_were_not_asked_for_are_deselected(pytester: pytest.Pytester) -> None:
    make_project(
        pytester,
        test_a="""
            import pytest
            @pytest.mark.scenario("overhead")
            def test_declared(): pass
            @pytest.mark.scenario("of_another_profile")
            def test_not_declared(): pass
            def test_of_nothing(): pass
        """,
    )
    pytester.runpytest_subprocess(*PLUGIN).assert_outcomes(passed=2, deselected=1)


@pytest.mark.slow
def test_a_disk_that_is_full_from_the_start_ends_with_12_and_one_message(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("""
        import errno, os
        import perfgate.record
        def full(path, text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        perfgate.record.write_atomically = full
    """)
    result = run_judging(pytester, "")
    assert result.ret == 12
    assert "the record cannot be written to .perfgate/records: No space left on device" in result.stdout.str()
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


@pytest.mark.slow
def test_a_record_that_vanishes_is_said_and_ends_with_12(pytester: pytest.Pytester) -> None:
    make_project(
        pytester,
        test_a="""
            import pathlib, pytest
            @pytest.mark.scenario("overhead")
            def test_it():
                for path in pathlib.Path(".perfgate/records").iterdir():
                    path.unlink()
        """,
    )
    result = pytester.runpytest_subprocess(*PLUGIN)
    assert result.ret == 12
    result.stdout.fnmatch_lines(["note *.json: cannot be read (No such file or directory)*"])


@pytest.mark.slow
def test_an_error_of_a_shared_fixture_is_told_once(pytester: pytest.Pytester) -> None:
    make_project(
        pytester,
        test_a="""
            import pytest
            from perfgate.errors import StackFailed
            pytestmark = pytest.mark.scenario("overhead")
            @pytest.fixture(scope="module")
            def measured():
                raise StackFailed("litellm did not start\\n  last answer  boom")
            def test_one(measured): pass
            def test_two(measured): pass
            def test_three(): raise StackFailed("litellm did not start\\n  last answer  another")
            @pytest.fixture(scope="module")
            def reached():
                raise StackFailed("nobody answers at 127.0.0.1: connection refused: start it first")
            def test_four(reached): pass
            def test_five(reached): pass
        """,
    )
    result = pytester.runpytest_subprocess(*PLUGIN)
    assert result.ret == 12
    said = result.stdout.str()
    assert said.count("last answer  boom") == 1
    assert said.count("last answer  another") == 1, "an error of its own"
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_two*",
            "litellm did not start",
            "  as before   the whole message stands at *::test_one",
        ]
    )
    assert said.count("nobody answers at 127.0.0.1: connection refused: start it first") == 1, "of one line"
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_five*",
            "nobody answers at 127.0.0.1",
            "  as before   the whole message stands at *::test_four",
        ],
        consecutive=False,
    )
    result.stdout.fnmatch_lines(["INCOMPLETE   overhead did not run"])


#: Measures until it is told to end, beside a mock and a generator that are real.
NEVER_ENDS: Final = """
    import signal
    import perfgate.plugin
    from perfgate.experiment.rounds import Progress

    def run_rounds(bench, *args, on_progress, **others):
        on_progress(Progress("gateway, generation 1", 0, 16, 90.0))
        signal.pause()

    perfgate.plugin.run_rounds = run_rounds
"""


@pytest.mark.slow
@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_told_to_end_stops_everything_and_keeps_its_record(
    pytester: pytest.Pytester, told: signal.Signals
) -> None:
    """By Ctrl-C, or as many CI systems cancel a job."""
    make_project(pytester, test_a=MEASURING)
    pytester.makeconftest(NEVER_ENDS)
    with a_run(pytester.path, DOCKER_HOST=f"unix://{pytester.path}/none.sock") as run:
        read_until(run, "overhead: window 1 of 16")
        started = psutil.Process(run.pid).children(recursive=True)
        assert started
        run.send_signal(told)
        assert run.stdout is not None
        said = run.stdout.read()
        assert run.wait(PATIENCE_S) == 2
    assert psutil.wait_procs(started, PATIENCE_S)[1] == []
    assert "INCOMPLETE   overhead did not run" in said
    found = the_record(pytester)
    assert found.exit_code == 2
    assert found.finished_utc is not None
    assert found.leases[-1].released_mono_s is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "before", "during"),
    [
        ("overhead", "signal.SIG_DFL", "signal.default_int_handler"),
        ("overhead", "mine", "mine"),
        (None, "signal.SIG_DFL", "signal.SIG_DFL"),
    ],
    ids=["measuring", "with a handler", "not measuring"],
)
def test_sigterm_is_taken_by_a_run_that_measures_and_has_no_handler_of_its_own(
    pytester: pytest.Pytester, scenario: str | None, before: str, during: str
) -> None:
    pytester.makeconftest(f"""
        import signal
        def mine(number, frame): pass
        signal.signal(signal.SIGTERM, {before})
    """)
    make_project(
        pytester,
        test_a=f"""
            import pytest, signal
            from conftest import mine
            {"pytestmark = pytest.mark.scenario('overhead')" if scenario else ""}
            def test_it(): assert signal.getsignal(signal.SIGTERM) is {during}
        """,
    )
    pytester.runpytest_subprocess(*PLUGIN).assert_outcomes(passed=1)


@pytest.mark.slow
def test_message_and_record_say_how_to_do_it_again(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(
        pytester,
        test_a="""
            import pytest
            from tests.harness.synthetic import measurement
            pytestmark = pytest.mark.scenario("overhead")
            def test_it(limits):
                limits.check("overhead_p95_ms", measurement(gateway_ms=90))
        """,
    )
    (pytester.path / "thresholds.yaml").rename(pytester.path / "my limits.yaml")
    monkeypatch.setenv("PERFGATE_WORKERS", "2")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--deps today")
    result = pytester.runpytest_subprocess(*PLUGIN, "--thresholds", "my limits.yaml", "--seed", "7")
    assert result.ret == 1
    command = shlex.join(the_record(pytester).command)
    # Variables, pytest's own settings, and that of every test here for the stack.
    assert command.endswith("--thresholds 'my limits.yaml' --seed 7 --stack processes --deps today --workers 2")
    (line,) = [line for line in result.outlines if line.startswith("  reproduce")]
    assert line.split()[:3] == ["reproduce", "pytest", "tests/perf"]
    for words in ("--thresholds 'my limits.yaml'", "--seed 7", "--workers 2", "--scenarios overhead", "--deps today"):
        assert words in line
    assert "--profile" not in line


@pytest.mark.slow
def test_pytest_benchmark_measures_as_long_as_nobody_asks_for_xdist(pytester: pytest.Pytester) -> None:
    """With the project's own pytest.ini: `--dist loadgroup` in it would be enough for pytest-benchmark to stop."""
    pytester.makepyfile("def test_it(benchmark):\n    benchmark.pedantic(print, rounds=7)\n    assert benchmark.stats")
    (pytester.path / "pytest.ini").write_text((ROOT / "pytest.ini").read_text())
    result = pytester.runpytest_subprocess(*PLUGIN, f"--rootdir={pytester.path}", pytester.path)
    result.assert_outcomes(passed=1)
    assert "benchmark: 1 tests" in result.stdout.str()


@pytest.mark.slow
def test_the_record_holds_what_the_schema_says(pytester: pytest.Pytester) -> None:
    run_judging(pytester, "", "--seed", "77")
    written = the_record(pytester)
    assert (written.seed, written.profile, written.scenarios) == (77, "quick", ["overhead"])
    assert (written.gateway[:8], written.limits) == ("litellm ", {"overhead": ["overhead_p95_ms"]})
    schema = json.loads(record.json_schema())
    assert schema["$ref"] == "#/$defs/Record"
    assert set(schema["$defs"]["Record"]["required"]) <= json.loads(written.model_dump_json()).keys()


def stack_of(**options: str) -> Stack:
    """As for a run with these options; it starts nothing."""
    texts = {f"perfgate_{name}": text for name, text in options.items()}
    run = SimpleNamespace(settings=settings_of(texts.get, {}))
    return Stack(cast(Run, run), cast(StackBench, None), cast(Turns, None))


def test_the_arms_of_a_comparison_have_processes_of_their_own_even_when_they_are_the_same() -> None:
    direct, baseline, candidate = stack_of(baseline="1.79.3", litellm="1.79.3").arms("direct", "baseline", "candidate")
    assert direct.is_direct
    assert baseline.gateway is not None
    assert candidate.gateway is not None
    assert str(baseline.gateway) == str(candidate.gateway) == "litellm 1.79.3"
    assert baseline.gateway != candidate.gateway


def test_each_arm_is_asked_for_its_own_model(tmp_path: Path) -> None:
    for name in ("first", "second"):
        text = f"model_list:\n  - {{model_name: {name}, litellm_params: {{model: openai/gpt-4o}}}}\n"
        (tmp_path / name).write_text(text)
    stack = stack_of(baseline_config=str(tmp_path / "first"), candidate_config=str(tmp_path / "second"))
    assert [arm.model for arm in stack.arms("direct", "baseline", "candidate")] == ["gpt-4o", "first", "second"]
    assert [arm.model for arm in stack.arms("baseline", "candidate", model="x")] == ["x", "x"]


def test_portkey_is_what_litellm_is_but_for_what_is_litellm_s() -> None:
    stack = stack_of(litellm="1.79.3", instances="3", workers="2")
    portkey, litellm = stack.portkey("portkey").gateway, stack.arm("litellm", database=True).gateway
    assert portkey is not None
    assert litellm is not None
    assert (portkey.product, portkey.instances, portkey.workers, portkey.database) == ("portkey", 3, 1, False)
    assert portkey.backend == litellm.backend
    inside = replace(stack.run.settings.gateway, backend="containers", cpus_per_instance=1.5)
    run = SimpleNamespace(settings=replace(stack.run.settings, gateway=inside))
    limited = replace(stack, run=cast(Run, run)).portkey("portkey").gateway
    assert limited is not None
    assert (limited.backend, limited.cpus_per_instance) == ("containers", 1.5)


def test_portkey_asks_the_mock_for_what_litellm_asks_it_for(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("model_list:\n  - {model_name: fast, litellm_params: {model: openai/gpt-4o}}\n")
    assert stack_of(gateway_config=str(tmp_path / "c")).portkey("portkey").model == "gpt-4o"


@pytest.mark.parametrize(("times", "users"), [(1, 30), (8, 240)])
def test_users_can_be_as_many_as_all_processes_serve(
    times: int, users: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def run_rounds(*arguments: Any, **options: Any) -> Measurement:
        given.update(options, schedule=arguments[3])
        return synthetic.measurement(scenario="gateways")

    monkeypatch.setattr("perfgate.plugin.run_rounds", run_rounds)
    rounds = rounds_of("{users: 30, think_time_s: 0.75, window_s: 12}", tmp_path)
    rounds.run((), direct_window_s=3, users_times=times)
    assert given["schedule"] == ClosedLoop(users, 0, 12, think_time_s=0.75)
    assert given["direct_schedule"] == ClosedLoop(users, 0, 3, think_time_s=0.75)


def test_a_load_without_users_cannot_have_more_of_them(tmp_path: Path) -> None:
    rounds = rounds_of("{offered_rps: 30, window_s: 12}", tmp_path)
    with pytest.raises(BadInput, match=r"scenarios\.gateways\.load has no users, which a test multiplies"):
        rounds.run((), users_times=2)


def rounds_of(load: str, folder: Path) -> Rounds:
    """The scenario `gateways` of a file that is made up, which nothing is started for."""
    path = folder / "thresholds.yaml"
    path.write_text(
        "profiles: {published: {budget_minutes: 1, on_invalid: warn, scenarios: [gateways]}}\n"
        "scenarios:\n  gateways:\n"
        f"    load: {load}\n"
        "    rounds: {generations: 2, per_generation: 1, per_generation_max: 1}\n"
        "    limits: {error_ratio: {max: 0.001, why: x}}\n"
        "apparatus: {dispatch_lag_p99_ms: 2, sent_ratio_min: 0.9, generator_cpu_ratio_max: 0.8,"
        " direct_p95_above_mock_delay_ms: 5}\n"
    )
    settings = settings_of({"perfgate_thresholds": str(path), "perfgate_profile": "published"}.get, {})
    settings = replace(settings, record_dir=folder, stack="processes")
    run = Run.begun(Asked.checked(settings, {}), "a-run", ["pytest"])
    turns = Turns(run, Lease.of_user({"PERFGATE_LEASE_DIR": str(folder)}), cast(ProgressLine, Quiet()))
    stack = Stack(run, cast(StackBench, None), turns)
    return Rounds(stack, "gateways", Limits(turns, "gateways"), turns)


class Quiet:
    """Shows nothing."""

    def say(self, text: str) -> None:
        pass


def test_a_callback_is_held_against_the_same_gateway_without_it() -> None:
    direct, without, logging = stack_of(litellm="1.79.3").with_callback("langsmith")
    assert direct.is_direct
    assert [arm.name for arm in (without, logging)] == ["baseline", "candidate"]
    assert without.gateway is not None
    assert logging.gateway is not None
    assert (without.gateway.callback, logging.gateway.callback) == (None, "langsmith")
    assert replace(logging.gateway, callback=None, apart="baseline") == without.gateway


def test_with_a_licence_both_arms_have_what_the_licensed_callback_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LICENSE", "a-licence-that-nobody-has")
    _, *arms = stack_of(litellm="1.79.3").with_callback("gcs")
    assert [arm.gateway.with_packages for arm in arms if arm.gateway] == [("google-auth", "requests")] * 2


def sizes_of(cores: int, generations: int, free_mib: int, monkeypatch: pytest.MonkeyPatch) -> Sequence[Arm]:
    """The arms by size on a host with so many cores and so much free memory."""
    stack = stack_of(litellm="1.79.3")
    rounds = CountedRounds(generations=generations, per_generation=2, per_generation_max=2)
    stack.run.asked = SimpleNamespace(host=SimpleNamespace(cores_allowed=cores))  # type: ignore[assignment]
    stack.run.thresholds = SimpleNamespace(scenarios={"instances": SimpleNamespace(rounds=rounds)})  # type: ignore[misc, assignment]
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free_mib * 2**20))
    return stack.by_size("instances")


def test_the_gateway_comes_in_every_size_that_the_host_has_cores_for(monkeypatch: pytest.MonkeyPatch) -> None:
    arms = sizes_of(cores=4, generations=1, free_mib=100_000, monkeypatch=monkeypatch)
    assert [arm.name for arm in arms] == ["1x1", "1x2", "1x3", "1x4", "2x1", "4x1"]
    assert [(arm.gateway.instances, arm.gateway.workers) for arm in arms if arm.gateway] == [
        *((1, 1), (1, 2), (1, 3), (1, 4)),
        *((2, 1), (4, 1)),
    ]


def test_more_processes_than_memory_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(sizes_of(cores=2, generations=2, free_mib=18 * 400, monkeypatch=monkeypatch)) == 4
    with pytest.raises(BadInput, match=r"instances: 18 processes of LiteLLM at once take about 7\.0 GiB, and 6\.9 GiB"):
        sizes_of(cores=2, generations=2, free_mib=18 * 400 - 100, monkeypatch=monkeypatch)


def test_a_search_without_an_objective_is_bad_input() -> None:
    stack = stack_of(litellm="1.79.3")
    counted = SimpleNamespace(
        rounds=CountedRounds(generations=2, per_generation=2, per_generation_max=2),
        objective=None,
        load=SimpleNamespace(schedule=None),
    )
    stack.run.thresholds = SimpleNamespace(path="t.yaml", scenarios={"overhead": counted})  # type: ignore[misc, assignment]
    with pytest.raises(BadInput, match=r"^t\.yaml: scenarios\.overhead has no objective, which a search needs$"):
        CapacitySearch(stack, "overhead", cast(Turns, None)).run()


def test_without_a_baseline_there_are_no_such_arms() -> None:
    with pytest.raises(ValueError, match=r"arm 'baseline': must be one of direct, gateway$"):
        stack_of().arms("direct", "baseline")
    with pytest.raises(ValueError, match=r"arm 'without': must be one of direct, gateway, baseline, candidate$"):
        stack_of(baseline="1.79.3").arms("without")


#: Judges a comparison that is made up with these arguments.
COMPARING_FILE: Final = """\
import pytest
from tests.harness.synthetic import Truth, comparison
pytestmark = pytest.mark.scenario("regression")
WOBBLE = (0.98, 1.02, 1.01, 0.99)

@pytest.fixture(scope="module")
def measured():
    return comparison([Truth().slower(w) for w in WOBBLE], [Truth().slower(%s * w) for w in WOBBLE[::-1]])

def test_cpu(measured, limits):
    limits.check("cpu_per_request_ms", measured)
"""
COMPARING: Final = """\
profiles:
  compare: {budget_minutes: 6, on_invalid: fail, scenarios: [regression]}
scenarios:
  regression:
    needs: {baseline: true}
    load: {users: 2, window_s: 0.4}
    rounds: {minutes: 5}
    limits: {cpu_per_request_ms: {margin: 5%, floor: 0.2, claim: 5%, why: "a reason"}}
""" + THRESHOLDS[THRESHOLDS.index("apparatus:") :]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ratio", "code", "lines"),
    [
        (
            "1.5",
            1,
            [
                "FAIL  regression: CPU per request: 8 -> 12 ms, slowdown +50.0 % (*), at most +5 %, or 0.2 ms",
                "  reproduce  pytest tests/perf *--baseline 1.79.3 *--candidate 1.102.4 *",
                "regression * 8 -> 12 ms * at most +5 %, or 0.2 ms * FAIL*",
            ],
        ),
        (
            "0.7",
            0,
            ["regression * PASS, improvement*", "claim *: equivalent within 5 %: refuted, different by -30.0 %"],
        ),
        ("1.05", 10, ["INVALID  regression: CPU per request: 8 -> 8.4 ms, slowdown +5.0 %*", "*1 invalid*"]),
    ],
    ids=["fail", "improvement", "undecided"],
)
def test_a_comparison_ends_as_its_truth_deserves(
    pytester: pytest.Pytester, ratio: str, code: int, lines: list[str]
) -> None:
    make_project(pytester, COMPARING, test_regression=COMPARING_FILE % ratio)
    result = pytester.runpytest_subprocess(*PLUGIN, "--baseline", "1.79.3", "--candidate", "1.102.4")
    assert result.ret == code
    result.stdout.fnmatch_lines(lines)
    result.stdout.fnmatch_lines(["perfgate: *; profile compare, litellm 1.102.4 against litellm 1.79.3, seed *"])
    assert the_record(pytester).baseline == "litellm 1.79.3"


#: Asks the same of two scenarios.
SEVERAL: Final = """
    import pytest
    from tests.harness.synthetic import measurement

    @pytest.fixture(
        scope="module", params=[pytest.param(n, marks=pytest.mark.scenario(n)) for n in ("overhead", "other")]
    )
    def scenario(request):
        return request.param

    @pytest.fixture(scope="module")
    def measured(scenario):
        return measurement(scenario=scenario)

    def test_it(measured, limits):
        limits.check("overhead_p95_ms", measured)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("options", "judged"), [((), ["overhead", "other"]), (("--scenarios", "other"), ["other"])])
def test_a_file_may_ask_the_same_of_several_scenarios(
    pytester: pytest.Pytester, options: tuple[str, ...], judged: list[str]
) -> None:
    first, _, rest = THRESHOLDS.partition("  overhead:\n")
    overhead = rest.partition("apparatus:")[0]
    both = f"{first}  overhead:\n{overhead}  other:\n{rest}".replace("[overhead]", "[overhead, other]")
    make_project(pytester, both, test_several=SEVERAL)
    result = pytester.runpytest_subprocess(*PLUGIN, *options)
    assert result.ret == 0
    assert [judgement.scenario for judgement in the_record(pytester).judgements] == judged


#: Judges made-up measurements of two scenarios, all of whose windows lie within a lease.
RELEASING: Final = """
    import pytest
    from perfgate.plugin import RUN
    from tests.harness import recorded_runs

    @pytest.fixture(
        scope="module", params=[pytest.param(n, marks=pytest.mark.scenario(n)) for n in ("overhead", "alone")]
    )
    def scenario(request):
        return request.param

    @pytest.fixture(scope="module")
    def measured(scenario, limits, pytestconfig):
        run = pytestconfig.stash[RUN]
        run.record = run.record.model_copy(update={"leases": [recorded_runs.ALL_THE_TIME]})
        found = getattr(recorded_runs, scenario)(%s)
        run.keep_measurement(found)
        return found

    def test_every_limit(scenario, measured, limits, pytestconfig):
        for metric in pytestconfig.stash[RUN].thresholds.scenarios[scenario].limits:
            limits.check(metric, measured)
"""


def run_releasing(pytester: pytest.Pytester, gateway_ms: float, *options: str) -> pytest.RunResult:
    make_project(pytester, TWO_SCENARIOS, test_release=RELEASING % gateway_ms)
    return pytester.runpytest_subprocess(*PLUGIN, "--profile", "release", *options)


@pytest.mark.slow
def test_no_run_waits_for_what_only_draws() -> None:
    """A sign-off's report takes matplotlib, whose import takes as long as that of all else."""
    code = "import sys, perfgate.plugin; raise SystemExit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.slow
def test_a_release_all_of_whose_limits_pass_is_signed_off(pytester: pytest.Pytester) -> None:
    result = run_releasing(pytester, 12.0)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["sign-off     .perfgate/records/*-release-sign-off", "perfgate: 3 PASS*"])
    (bundle,) = (pytester.path / ".perfgate/records").glob("*-sign-off")
    assert {DOCUMENT, SUMS} <= read_bundle(bundle).keys()


@pytest.mark.slow
def test_a_release_with_a_fail_is_not_and_what_blocks_it_is_named(pytester: pytest.Pytester) -> None:
    result = run_releasing(pytester, 90.0)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "NO SIGN-OFF  overhead has no verdict on error_ratio",
            "NO SIGN-OFF  overhead.overhead_p95_ms is FAIL: the interval is beyond the limit",
        ]
    )
    assert not list((pytester.path / ".perfgate/records").glob("*-sign-off"))


@pytest.mark.slow
def test_a_part_of_a_release_is_left_for_a_sign_off_of_all_parts(pytester: pytest.Pytester) -> None:
    result = run_releasing(pytester, 12.0, "--scenarios", "alone")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["sign-off     a part of it: `perfgate signoff RECORD*"])
    assert not list((pytester.path / ".perfgate/records").glob("*-sign-off"))


@pytest.mark.slow
def test_a_release_whose_verdicts_are_not_those_of_its_windows_ends_with_13(pytester: pytest.Pytester) -> None:
    """As when the harness itself has a bug."""
    make_project(pytester, TWO_SCENARIOS, test_release=RELEASING % 12.0)
    pytester.makeconftest("""
        import perfgate.plugin
        kept = perfgate.plugin.Run.keep_judgement
        def turned(run, judgement):
            kept(run, judgement)
            last = run.record.judgements[-1].model_copy(update={"detail": "made up"})
            run.record = run.record.model_copy(update={"judgements": [*run.record.judgements[:-1], last]})
        perfgate.plugin.Run.keep_judgement = turned
    """)
    result = pytester.runpytest_subprocess(*PLUGIN, "--profile", "release")
    assert result.ret == 13
    result.stdout.fnmatch_lines(["NO SIGN-OFF  overhead.overhead_p95_ms: detail is recorded as made up, by the raw*"])
    assert the_record(pytester).exit_code == 13


@pytest.mark.slow
def test_other_profiles_are_not_signed_off(pytester: pytest.Pytester) -> None:
    assert "SIGN-OFF" not in run_judging(pytester, "").stdout.str().upper()
