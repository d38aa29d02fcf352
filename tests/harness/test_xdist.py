"""Does `pytest -n` come to the same as without, and do two runs on one host take turns?

Whole runs on made-up figures; whoever measures has a bench that starts nothing.
"""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from perfgate import record
from perfgate.lease import VARIABLE, Lease
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

pytestmark = pytest.mark.slow

FOUR_SCENARIOS: Final = THRESHOLDS.replace("[overhead]", "[overhead, latency, resources, capacity]").replace(
    "apparatus:",
    """\
  latency:
    load: {offered_rps: 50, warm_up_s: 1, window_s: 4}
    rounds: {generations: 2, per_generation: 4, per_generation_max: 6}
    limits:
      latency_p95_ms: {max: 25, why: "a reason"}
  resources:
    load: {offered_rps: 50, warm_up_s: 1, window_s: 4}
    rounds: {generations: 2, per_generation: 4, per_generation_max: 6}
    limits:
      cpu_per_request_ms: {max: 25, why: "a reason"}
      error_ratio: {max: 0.001, why: "a reason"}
  capacity:
    load: {offered_rps: 50, warm_up_s: 1, window_s: 4}
    rounds: {generations: 2, per_generation: 4, per_generation_max: 6}
    limits:
      completed_ratio: {min: 0.9, why: "a reason"}
apparatus:""",
)
JUDGING: Final = """
    import os, pytest
    from tests.harness.synthetic import measurement
    pytestmark = pytest.mark.scenario("{scenario}")
    def test_{metric}(limits):
        open("workers", "a").write(os.environ.get("PYTEST_XDIST_WORKER", "no worker") + "\\n")
        limits.check("{metric}", measurement(scenario="{scenario}", {arguments}))
"""
#: A bench that starts nothing. `run_rounds` tells when it measures, and measures until there is a line in `may_end`.
FAKES: Final = """
    import contextlib, time
    import perfgate.plugin
    from perfgate.experiment.rounds import Progress
    from tests.harness.synthetic import measurement

    def run_rounds(bench, scenario, arms, schedule, plan, *, on_progress, **others):
        note("begins", scenario)
        on_progress(Progress("gateway, generation 1", 0, 16, 90.0))
        with open("may_end") as may_end:
            may_end.readline()
        note("ends", scenario)
        return measurement(scenario=scenario)

    def note(*words):
        with open("intervals", "a") as file:
            print(*words, time.monotonic(), file=file)

    perfgate.plugin.run_rounds = run_rounds
    perfgate.plugin.StackBench = lambda *args, **kwargs: contextlib.nullcontext()
"""


def shown(result: pytest.RunResult) -> list[str]:
    """What is printed of perfgate, without the record's name."""
    start = next(number for number, line in enumerate(result.outlines) if line.strip("=") == " perfgate ")
    end = next(number for number, line in enumerate(result.outlines) if line.startswith("perfgate: "))
    return [line for line in result.outlines[start : end + 1] if not line.startswith("record ")]


def test_verdicts_lines_and_exit_code_are_those_of_a_run_without_n(pytester: pytest.Pytester) -> None:
    make_project(
        pytester,
        FOUR_SCENARIOS,
        test_a=JUDGING.format(scenario="overhead", metric="overhead_p95_ms", arguments=""),
        test_b=JUDGING.format(scenario="latency", metric="latency_p95_ms", arguments="gateway_ms=90"),
        test_c=JUDGING.format(scenario="resources", metric="cpu_per_request_ms", arguments="lag_ms=9"),
        test_d="def test_of_another_kind(): pass",
    )
    alone = pytester.runpytest_subprocess(*PLUGIN, "--seed=7", "--junitxml=alone.xml")
    spread = pytester.runpytest_subprocess(*PLUGIN, "--seed=7", "--junitxml=spread.xml", "-n2")

    assert (alone.ret, spread.ret) == (1, 1)
    assert shown(spread) == shown(alone)
    assert "INCOMPLETE   capacity did not run" in shown(spread)
    assert "INCOMPLETE   resources has no verdict on error_ratio" in shown(spread)
    for result in (alone, spread):
        result.stdout.fnmatch_lines(["FAIL  latency: *", "INVALID  resources: *", "*1 failed, 2 passed, 1 invalid*"])
        assert result.stdout.str().count("INVALID  resources: ") == 1

    workers = (pytester.path / "workers").read_text().split("\n")
    assert workers[:3] == ["no worker"] * 3
    assert len(set(workers[3:6])) == 1, "all of them in one worker"
    assert workers[3].startswith("gw")

    first, second = (record.read(path) for path in sorted((pytester.path / ".perfgate/records").glob("*.json")))
    assert second.judgements == first.judgements
    assert (second.exit_code, second.incomplete, second.limits) == (1, first.incomplete, first.limits)
    assert None not in (first.finished_utc, second.finished_utc)
    for name in ("alone.xml", "spread.xml"):
        errors = [error.get("type") for error in ET.parse(pytester.path / name).iter("error")]
        assert errors == ["perfgate.INVALID"] + ["perfgate.INCOMPLETE"] * len(first.incomplete)


def test_groups_stay_together_and_spread_over_workers(pytester: pytest.Pytester) -> None:
    """Not so with `--dist=loadgroup` of xdist 3.8 under pytest 9.2."""
    make_project(
        pytester,
        test_a="""
            import os, pytest
            def note(group):
                with open(group, "a") as file:
                    file.write(os.environ["PYTEST_XDIST_WORKER"] + " ")
            @pytest.mark.parametrize("number", range(4))
            @pytest.mark.xdist_group("one")
            def test_one(number): note("one")
            @pytest.mark.parametrize("number", range(4))
            @pytest.mark.xdist_group(name="two")
            @pytest.mark.xdist_group("more")
            def test_two(number): note("two")
            def test_alone(): pass
        """,
    )
    result = pytester.runpytest_subprocess(*PLUGIN, "-n2")
    result.assert_outcomes(passed=9)
    workers = [(pytester.path / group).read_text().split() for group in ("one", "two")]
    assert [len(of_group) for of_group in workers] == [4, 4]
    assert [len(set(of_group)) for of_group in workers] == [1, 1]
    assert workers[0] != workers[1]


def test_an_invalid_ends_as_asked(pytester: pytest.Pytester) -> None:
    assert run_judging(pytester, "lag_ms=9", "-n1", "--on-invalid=fail").ret == 10
    assert the_record(pytester).exit_code == 10


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--profile", "nightly"], "ERROR: --profile=nightly: thresholds.yaml has only quick"),
        (["--dist=worksteal"], "ERROR: --dist=worksteal spreads the perf tests over several workers*"),
    ],
)
def test_bad_input_ends_with_4_and_one_message_before_any_test(
    pytester: pytest.Pytester, options: list[str], text: str
) -> None:
    make_project(
        pytester,
        test_a=JUDGING.format(scenario="overhead", metric="overhead_p95_ms", arguments=""),
        test_b="def test_of_another_kind(): open('ran', 'w')",
    )
    result = pytester.runpytest_subprocess(*PLUGIN, "-n1", *options)
    assert result.ret == 4
    result.stderr.fnmatch_lines([text])
    assert result.stderr.str().count("ERROR") == 1
    assert "INTERNALERROR" not in result.stdout.str()
    assert not (pytester.path / "ran").exists()
    assert not (pytester.path / ".perfgate").exists()


def test_a_worker_that_is_killed_leaves_the_record_and_nobody_measures_into_it(pytester: pytest.Pytester) -> None:
    make_project(
        pytester,
        FOUR_SCENARIOS,
        test_a=JUDGING.format(scenario="overhead", metric="overhead_p95_ms", arguments=""),
        test_b="""
            import os, pytest, signal
            pytestmark = pytest.mark.scenario("latency")
            def test_it(limits):
                os.kill(os.getpid(), signal.SIGKILL)
        """,
        test_c=JUDGING.format(scenario="resources", metric="error_ratio", arguments=""),
    )
    result = pytester.runpytest_subprocess(*PLUGIN, "-n2")
    assert result.ret == 1
    written = the_record(pytester)
    assert [judgement.scenario for judgement in written.judgements] == ["overhead"]
    assert written.exit_code == 1
    result.stdout.fnmatch_lines(
        [
            "another process of this run has begun to measure and was lost: run again*",
            "overhead  gateway overhead, p95*PASS*",
            "INCOMPLETE   latency did not run",
            "perfgate: 1 PASS, 0 FAIL, 0 INVALID; *; exit code 1: *",
        ]
    )


def test_runs_without_perf_tests_are_left_alone(pytester: pytest.Pytester) -> None:
    make_project(pytester, test_a="def test_it(): pass")
    result = pytester.runpytest_subprocess(*PLUGIN, "-n1", "--profile=nonsense")
    assert result.ret == 0
    assert "perfgate" not in result.stdout.str().replace("perfgate.plugin", "")


def test_benchmarks_are_left_to_pytest_benchmark(pytester: pytest.Pytester) -> None:
    make_project(
        pytester,
        test_a="""
            import pytest
            pytestmark = pytest.mark.scenario("overhead")
            def test_it(benchmark):
                benchmark.pedantic(print, rounds=7)
                assert benchmark.disabled
        """,
    )
    result = pytester.runpytest_subprocess(*PLUGIN, "-n1")
    assert result.ret == 11, "nothing was judged"
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("options", [[], ["-n1"]], ids=["alone", "by a worker"])
def test_what_is_measured_is_leased_and_its_progress_shown(pytester: pytest.Pytester, options: list[str]) -> None:
    make_project(pytester, test_a=MEASURING)
    pytester.makeconftest(FAKES)
    (pytester.path / "may_end").write_text("\n")
    result = pytester.runpytest_subprocess(*PLUGIN, *options)
    assert result.ret == 0
    assert result.outlines.count("overhead: window 1 of 16: gateway, generation 1, about 90 s left") == 1
    (lease,) = the_record(pytester).leases
    assert (lease.kind, lease.scenario, lease.what) == ("exclusive", "overhead", "measuring overhead")
    assert lease.released_mono_s is not None
    (began_s, ended_s) = intervals(pytester.path)
    assert lease.acquired_mono_s <= began_s <= ended_s <= lease.released_mono_s


def intervals(folder: Path) -> list[float]:
    """The instants at which a measurement in that folder began and ended."""
    lines = [line.split() for line in (folder / "intervals").read_text().splitlines()]
    assert [words[0] for words in lines] == ["begins", "ends"]
    return [float(words[-1]) for words in lines]


def test_two_runs_on_one_host_take_turns_and_say_so(pytester: pytest.Pytester) -> None:
    folders = [pytester.path / name for name in ("first", "second")]
    make_project(pytester, test_a=MEASURING)
    pytester.makeconftest(FAKES)
    with ExitStack() as until_closed:
        ends = []
        for folder in folders:
            folder.mkdir()
            for name in ("test_a.py", "conftest.py", "tox.ini", "thresholds.yaml"):
                (folder / name).write_text((pytester.path / name).read_text())
            os.mkfifo(folder / "may_end")
            ends.append(os.open(folder / "may_end", os.O_RDWR))  # for both, so that no one waits for the other
            until_closed.callback(os.close, ends[-1])

        first = until_closed.enter_context(a_run(folders[0]))
        read_until(first, "overhead: window 1")
        second = until_closed.enter_context(a_run(folders[1], "-n2"))
        line = read_until(second, "waiting for the lease of this host")
        assert f"held by process {first.pid} (measuring overhead, since " in line
        os.write(ends[0], b"\n")
        read_until(second, "overhead: window 1")
        os.write(ends[1], b"\n")
        assert (first.wait(PATIENCE_S), second.wait(PATIENCE_S)) == (0, 0)

    assert intervals(folders[0])[1] < intervals(folders[1])[0], "the first had ended when the second began"
    (earlier,), (later,) = (of_folder(folder).leases for folder in folders)
    assert earlier.released_mono_s is not None
    assert earlier.released_mono_s <= later.acquired_mono_s
    assert later.waited_s > 0


def of_folder(folder: Path) -> record.Record:
    """The record of the run in a folder."""
    (path,) = (folder / ".perfgate/records").glob("*.json")
    return record.read(path)


def test_the_harness_own_tests_wait_while_somebody_measures(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "lease")
    arguments = ("tests/harness/test_exit_codes.py", "-k", "no_code_means_ok")
    with ExitStack() as until_closed:
        with lease.exclusive("measuring overhead", print):
            run = until_closed.enter_context(a_run(ROOT, *arguments, **{VARIABLE: str(lease.folder)}))
            line = read_until(run, "waiting for the lease of this host")
            assert f"held by process {os.getpid()} (measuring overhead, since " in line
        read_until(run, "1 passed")
        assert run.wait(PATIENCE_S) == 0
