"""Whole pytest runs, for every verdict and for bad input; the figures are made up, so nothing is started."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Final, cast
from xml.etree import ElementTree as ET

import psutil
import pytest

from perfgate import record
from perfgate.experiment.bench import StackBench
from perfgate.plugin import Stack, Turns
from perfgate.run import Run
from perfgate.settings import settings_of
from tests.harness.conftest import (
    MEASURING,
    PATIENCE_S,
    PLUGIN,
    ROOT,
    THRESHOLDS,
    a_run,
    make_project,
    read_until,
    run_judging,
    the_record,
)


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
    assert [j.verdict for j in the_record(pytester).judgements] == ["INVALID"]


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
        ([], THRESHOLDS.replace("max: 25", "max: 25, waivers: 1"), "*:8: *not supported yet*"),
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
def test_a_message_says_how_to_do_it_again(pytester: pytest.Pytester) -> None:
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
    result = pytester.runpytest_subprocess(*PLUGIN, "--thresholds", "my limits.yaml", "--seed", "7", "--workers", "2")
    assert result.ret == 1
    (line,) = [line for line in result.outlines if line.startswith("  reproduce")]
    assert line.split()[:3] == ["reproduce", "pytest", "tests/perf"]
    for words in ("--thresholds 'my limits.yaml'", "--seed 7", "--workers 2", "--scenarios overhead", "--litellm "):
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
    assert json.loads(record.json_schema())["title"] == "Record"


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
