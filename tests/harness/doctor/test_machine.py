"""Is what a machine lacks told apart from what only makes its figures worse?"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from perfgate.doctor import machine
from perfgate.doctor.finding import State
from perfgate.doctor.wanted import Wanted
from perfgate.exit_codes import ExitCode
from perfgate.experiment.comparison_plan import MEMORY_BYTES, MEMORY_RATIO
from perfgate.measure.host import TELLTALE_VARIABLES
from perfgate.stack.affinity import plan_cores
from perfgate.stats.plan import GENERATIONS_MIN
from tests.harness.test_thresholds import HOST

GIB = 1024**3
PLAN = plan_cores({0, 1})
Wants = Callable[[str], Wanted]


def test_enough_cores_say_who_gets_which(wanted: Wants) -> None:
    found = machine.cores(HOST, PLAN, wanted("quick"))
    assert (found.state, found.advice) == (State.OK, "")
    assert found.found == ("2 of 2 for us, AMD EPYC 7763; pinned: generator and mock share core 0, gateway on 1")


def test_too_few_cores_for_the_profile_end_as_its_run_would(wanted: Wants) -> None:
    found = machine.cores(HOST, PLAN, wanted("all"))
    assert (found.state, found.code) == (State.NO, ExitCode.BAD_INPUT)
    assert found.advice.startswith("4 are needed: ")


def test_a_quota_below_the_cores_is_no_core_but_a_pause(wanted: Wants) -> None:
    found = machine.cores(replace(HOST, cgroup_limit_cores=1.5), PLAN, wanted("quick"))
    assert found.state is State.BEWARE
    assert "but a quota of 1.5" in found.found
    assert machine.cores(replace(HOST, cgroup_limit_cores=2.0), PLAN, wanted("quick")).state is State.OK


def test_memory_is_for_the_gateways_that_are_alive_at_once(wanted: Wants) -> None:
    needed = 2 * MEMORY_BYTES + machine.APPARATUS_BYTES
    compared = 2 * GENERATIONS_MIN * MEMORY_BYTES / MEMORY_RATIO
    for available, state, code in (
        (needed - 1, State.NO, ExitCode.STACK_FAILED),
        (needed, State.PARTLY, ExitCode.OK),
        (int(compared) - 1, State.PARTLY, ExitCode.OK),
        (int(compared) + 1, State.OK, ExitCode.OK),
    ):
        found = machine.memory(available, wanted("quick"))
        assert (found.state, found.code) == (state, code), available
    assert machine.memory(int(compared) - 1, wanted("all")).code is ExitCode.BAD_INPUT


@pytest.mark.parametrize(
    ("in_cache_gib", "records_gib", "has_environment", "state", "advice"),
    [
        (50, 50, False, State.OK, ""),
        (
            1.9,
            50,
            False,
            State.NO,
            "a LiteLLM environment takes up to 2 GiB: make room, or name another PERFGATE_CACHE_DIR",
        ),
        (1.9, 50, True, State.BEWARE, "enough for a release or two; make room before you compare several"),
        (
            50,
            0.4,
            True,
            State.NO,
            "records, logs and a database need half a GiB: make room, or name another --record-dir",
        ),
    ],
)
def test_disk_is_for_environments_and_for_records(
    in_cache_gib: float, records_gib: float, has_environment: bool, state: State, advice: str
) -> None:
    free = {Path("/cache"): int(in_cache_gib * GIB), Path("records"): int(records_gib * GIB)}
    found = machine.disk(Path("/cache"), Path("records"), has_environment=has_environment, free_bytes=free.__getitem__)
    assert (found.state, found.advice) == (state, advice)
    assert found.found == f"{in_cache_gib:.1f} GiB free in /cache, {records_gib:.1f} for records"


def test_a_folder_that_is_not_there_yet_is_asked_of_the_one_above(tmp_path: Path) -> None:
    found = machine.disk(tmp_path / "not/yet", tmp_path / "nor/this", has_environment=True)
    assert f"GiB free in {tmp_path}/not/yet" in found.found


@pytest.mark.parametrize(
    ("clock", "governor", "architecture", "state", "found"),
    [
        ("tsc", None, "x86_64", State.OK, "clock tsc, no frequency governor to be seen"),
        ("tsc", "performance", "x86_64", State.OK, "clock tsc, governor performance"),
        ("tsc", "powersave", "x86_64", State.BEWARE, "clock tsc, governor powersave"),
        ("xen", None, "x86_64", State.BEWARE, "clock xen, no frequency governor to be seen"),
        ("arch_sys_counter", None, "aarch64", State.OK, "clock arch_sys_counter, no frequency governor to be seen"),
        (None, None, "x86_64", State.OK, "clock unknown, no frequency governor to be seen"),
    ],
)
def test_a_dear_clock_or_a_rate_that_moves_is_something_to_know(
    clock: str | None, governor: str | None, architecture: str, state: State, found: str
) -> None:
    host = replace(HOST, clock_source=clock, frequency_governor=governor, architecture=architecture)
    finding = machine.clock(host)
    assert (finding.state, finding.found) == (state, found)


def test_variables_that_distort_are_named_with_what_they_do_and_without_their_value() -> None:
    environment = {
        "PYTHONDONTWRITEBYTECODE": "1",
        "https_proxy": "http://me:secret@proxy",
        "HTTP_PROXY": "http://me:secret@proxy",
        "HOME": "/root",
        "PYTHONOPTIMIZE": "",
    }
    found = machine.variables(environment)
    assert (found.state, found.found) == (State.BEWARE, "PYTHONDONTWRITEBYTECODE, HTTP_PROXY, HTTPS_PROXY")
    assert TELLTALE_VARIABLES["PYTHONDONTWRITEBYTECODE"] in found.advice
    assert found.advice.count("requests may take a detour") == 1
    assert "secret" not in found.found + found.advice
    assert machine.variables({"HOME": "/root"}).state is State.OK
