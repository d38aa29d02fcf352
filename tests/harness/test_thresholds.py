"""Is thresholds.yaml read as it stands, and is every mistake in it named with its line?"""

import dataclasses
import hashlib
import os
import re
from collections.abc import Collection
from pathlib import Path

import pytest

from perfgate.errors import BadInput
from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.metrics import METRICS
from perfgate.load.schedule import ClosedLoop, OpenLoop
from perfgate.measure.host import HostFingerprint
from perfgate.settings import COMPARE_PROFILE
from perfgate.stack.callbacks import CALLBACKS
from perfgate.stats.plan import GENERATIONS_MIN
from perfgate.thresholds import (
    Comparing,
    DriftSource,
    Faulting,
    HostClass,
    Limit,
    Objective,
    Scenario,
    Searching,
    host_class,
    load_thresholds,
    parsed_thresholds,
)

WHOLE = """\
profiles:
  quick: {budget_minutes: 4, on_invalid: warn, scenarios: [latency, overhead]}
hosts:
  reference: {cores: 2, memory_gib: 24, cpu_models: ["AMD EPYC*"], backend: processes}
scenarios:
  overhead:
    needs: {cores: 2}
    load: {offered_rps: 40, warm_up_s: 1, window_s: 4}
    rounds: {generations: 2, per_generation: 4, per_generation_max: 10}
    limits:
      overhead_p95_ms:
        why: "a reason"
        max: 60
      completed_ratio: {min: 0.99, why: "another reason"}
  latency:
    load: {offered_rps: 30, warm_up_s: 0, window_s: 5, tail_s: 2, arrivals: poisson, payload_bytes: 500}
    rounds: {generations: 1, per_generation: 2, per_generation_max: 2}
    limits: {latency_p99_ms: {max: 150.5, why: "a third"}}
apparatus:
  {dispatch_lag_p99_ms: 2, sent_ratio_min: 0.98, generator_cpu_ratio_max: 0.8, direct_p95_above_mock_delay_ms: 5}
"""
KNOWN = ("overhead_p95_ms", "latency_p99_ms", "completed_ratio", "error_ratio")
HOST = HostFingerprint(
    cores_allowed=2,
    cores_online=2,
    cores_physical=1,
    cgroup_limit_cores=None,
    cpu_model="AMD EPYC 7763",
    memory_bytes=24 * 1024**3,
    architecture="x86_64",
    kernel="6.8",
    os_name=None,
    is_virtual=True,
    clock_source="tsc",
    frequency_governor=None,
    load_1m=0.1,
    cpu_pressure_avg10_percent=0.0,
)
REFERENCE = HostClass(cores=2, memory_gib=24, cpu_models=("AMD EPYC*", "Intel*"), backend="processes")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages show paths below the working directory as relative."""
    monkeypatch.chdir(tmp_path)


def written(text: str) -> Path:
    path = Path("thresholds.yaml")
    path.write_text(text, encoding="utf-8")
    return path


def complaints(text: str, comparable: Collection[str] | None = None) -> list[str]:
    """What is said of the file, without headline and last line; the headline's count must be right."""
    with pytest.raises(BadInput) as caught:
        load_thresholds(written(text), KNOWN, comparable)
    headline, *lines, last = str(caught.value).splitlines()
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    assert headline == f"thresholds.yaml cannot be used: {count}; nothing was started"
    assert last == "next: correct the file; docs/thresholds.md explains every key"
    return lines


def changed(old: str, new: str) -> str:
    assert WHOLE.count(old) == 1, f"{old!r} must stand once in the sample"
    return WHOLE.replace(old, new)


# --- what is read ---


def test_every_value_arrives_where_it_belongs() -> None:
    thresholds = load_thresholds(written(WHOLE), KNOWN)
    quick = thresholds.profiles["quick"]
    assert (quick.budget_minutes, quick.on_invalid, quick.scenarios) == (4, "warn", ("latency", "overhead"))
    assert thresholds.hosts["reference"].model_dump() == {
        "cores": 2,
        "memory_gib": 24,
        "cpu_models": ("AMD EPYC*",),
        "backend": "processes",
        "host_speed_ms": None,
    }
    assert list(thresholds.scenarios) == ["overhead", "latency"]
    overhead, latency = thresholds.scenarios.values()
    assert (overhead.name, overhead.needs.cores, overhead.load.payload_bytes) == ("overhead", 2, None)
    assert overhead.load.schedule == OpenLoop(offered_rps=40, warm_up_s=1, window_s=4, tail_s=10, arrivals="constant")
    assert overhead.rounds.model_dump() == {"generations": 2, "per_generation": 4, "per_generation_max": 10}
    assert (latency.needs.cores, latency.load.payload_bytes) == (1, 500)
    assert latency.load.schedule == OpenLoop(offered_rps=30, warm_up_s=0, window_s=5, tail_s=2, arrivals="poisson")
    assert thresholds.apparatus.model_dump() == {
        "dispatch_lag_p99_ms": 2,
        "sent_ratio_min": 0.98,
        "generator_cpu_ratio_max": 0.8,
        "direct_p95_above_mock_delay_ms": 5,
    }


def test_a_limit_knows_the_line_of_its_number() -> None:
    limits = load_thresholds(written(WHOLE), KNOWN).scenarios["overhead"].limits
    assert dict(limits) == {
        "overhead_p95_ms": Limit("overhead_p95_ms", "a reason", "thresholds.yaml", 13, maximum=60),
        "completed_ratio": Limit("completed_ratio", "another reason", "thresholds.yaml", 14, minimum=0.99),
    }


def test_a_limit_in_both_directions_or_none_is_no_limit() -> None:
    for numbers in (
        {"maximum": 1, "minimum": 2},
        {},
        {"maximum": 1, "margin": 0.05},
        {"margin": 1, "equivalent_within": 1},
    ):
        with pytest.raises(
            ValueError, match=r"p: exactly one of maximum=.*, minimum=.*, margin=.* and equivalent_within="
        ):
            Limit("p", "why", "thresholds.yaml", 1, **numbers)


def test_hosts_may_be_left_out() -> None:
    text = re.sub(r"hosts:\n.*\n", "", WHOLE)
    assert dict(load_thresholds(written(text), KNOWN).hosts) == {}


def test_the_hash_is_of_the_files_bytes() -> None:
    assert load_thresholds(written(WHOLE), KNOWN).sha256 == hashlib.sha256(WHOLE.encode()).hexdigest()


def test_its_text_is_kept_and_can_be_read_again_without_the_file() -> None:
    thresholds = load_thresholds(written(WHOLE), KNOWN)
    assert thresholds.text == WHOLE
    Path("thresholds.yaml").unlink()
    again = parsed_thresholds(thresholds.text.encode(), thresholds.path, KNOWN)
    assert again == thresholds
    with pytest.raises(BadInput, match=r"was/thresholds\.yaml cannot be used: 1 problem"):
        parsed_thresholds(b"", "was/thresholds.yaml", KNOWN)


def test_a_path_outside_the_working_directory_is_shown_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(WHOLE).absolute()
    assert load_thresholds(path, KNOWN).path == "thresholds.yaml"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert load_thresholds(path, KNOWN).scenarios["latency"].limits["latency_p99_ms"].path == str(path)


def test_what_was_read_cannot_be_changed() -> None:
    thresholds = load_thresholds(written(WHOLE), KNOWN)
    with pytest.raises(TypeError):
        thresholds.scenarios["latency"].limits["more"] = None  # type: ignore[index]
    with pytest.raises(ValueError, match="frozen"):
        thresholds.apparatus.sent_ratio_min = 0.5


def test_the_shipped_file_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    thresholds = load_thresholds(Path("thresholds.yaml"), METRICS)
    assert thresholds.profiles["quick"].scenarios == ("overhead", "latency", "single_request", "resources")


# --- what is refused ---


@pytest.mark.parametrize(
    ("old", "new", "where", "complaint"),
    [
        # values: one row for each kind of value
        (
            "max: 60",
            "max: abc",
            "13: scenarios.overhead.limits.overhead_p95_ms.max",
            "expected a number of at least 0, found 'abc'",
        ),
        (
            "max: 60",
            "max: -3",
            "13: scenarios.overhead.limits.overhead_p95_ms.max",
            "expected a number of at least 0, found -3",
        ),
        (
            "max: 60",
            "max: true",
            "13: scenarios.overhead.limits.overhead_p95_ms.max",
            "expected a number of at least 0, found true",
        ),
        (
            "max: 60",
            "max: .nan",
            "13: scenarios.overhead.limits.overhead_p95_ms.max",
            "expected a number of at least 0, found '.nan'",
        ),
        (
            "max: 60",
            "max: .inf",
            "13: scenarios.overhead.limits.overhead_p95_ms.max",
            "expected a number of at least 0, found '.inf'",
        ),
        (
            "max: 60",
            "max:",
            "13: scenarios.overhead.limits.overhead_p95_ms.max",
            "expected a number of at least 0, found nothing",
        ),
        (
            "max: 60",
            "max: [1]",
            "13: scenarios.overhead.limits.overhead_p95_ms.max",
            "expected a number of at least 0, found a list",
        ),
        (
            "max: 60",
            'max: "60"',
            "13: scenarios.overhead.limits.overhead_p95_ms.max",
            "expected a number of at least 0, found '60' (text: take the quotes away)",
        ),
        (
            "min: 0.99",
            "min: no",
            "14: scenarios.overhead.limits.completed_ratio.min",
            "expected a number above 0, found no",
        ),
        (
            "budget_minutes: 4",
            "budget_minutes: 0",
            "2: profiles.quick.budget_minutes",
            "expected a number above 0, found 0",
        ),
        ("on_invalid: warn", "on_invalid: off", "2: profiles.quick.on_invalid", "expected 'warn' or 'fail', found off"),
        (
            "needs: {cores: 2}",
            "needs: {cores: 1.5}",
            "7: scenarios.overhead.needs.cores",
            "expected a whole number above 0, found 1.5",
        ),
        (
            "reference: {cores: 2,",
            "reference: {cores: yes,",
            "4: hosts.reference.cores",
            "expected a whole number above 0, found yes",
        ),
        (
            "memory_gib: 24",
            "memory_gib: 24 GiB",
            "4: hosts.reference.memory_gib",
            "expected a number above 0, found '24 GiB'",
        ),
        ('["AMD EPYC*"]', "[]", "4: hosts.reference.cpu_models", "expected at least one entry, found an empty list"),
        ('["AMD EPYC*"]', '[""]', "4: hosts.reference.cpu_models[0]", "expected a text that is not empty, found ''"),
        ('["AMD EPYC*"]', "AMD", "4: hosts.reference.cpu_models", "expected a list, found 'AMD'"),
        (
            "backend: processes",
            "backend: docker",
            "4: hosts.reference.backend",
            "expected 'processes' or 'containers', found 'docker'",
        ),
        (
            "warm_up_s: 0,",
            "warm_up_s: -1,",
            "16: scenarios.latency.load.warm_up_s",
            "expected a number of at least 0, found -1",
        ),
        ("tail_s: 2", "tail_s: x", "16: scenarios.latency.load.tail_s", "expected a number of at least 0, found 'x'"),
        (
            "poisson",
            "random",
            "16: scenarios.latency.load.arrivals",
            "expected 'constant' or 'poisson', found 'random'",
        ),
        (
            "payload_bytes: 500",
            "payload_bytes: 5.5",
            "16: scenarios.latency.load.payload_bytes",
            "expected a whole number above 0, found 5.5",
        ),
        (
            "sent_ratio_min: 0.98",
            "sent_ratio_min: 98",
            "20: apparatus.sent_ratio_min",
            "expected a number above 0 and at most 1, found 98",
        ),
        (
            "generator_cpu_ratio_max: 0.8",
            "generator_cpu_ratio_max: 2",
            "20: apparatus.generator_cpu_ratio_max",
            "expected a number above 0 and at most 1, found 2",
        ),
        (
            'why: "a reason"',
            'why: " "',
            "12: scenarios.overhead.limits.overhead_p95_ms.why",
            "expected the reason for this limit in words, found ' '",
        ),
        (
            'why: "a third"',
            "why: 3",
            "18: scenarios.latency.limits.latency_p99_ms.why",
            "expected the reason for this limit in words, found 3",
        ),
        (
            "needs: {cores: 2}",
            "needs: {services: [kafka]}",
            "7: scenarios.overhead.needs.services[0]",
            "expected 'postgres' or 'redis', found 'kafka'",
        ),
        ("needs: {cores: 2}", "needs: 2", "7: scenarios.overhead.needs", "expected keys with values, found 2"),
        # keys
        (
            "arrivals: poisson",
            "arival: poisson",
            "16: scenarios.latency.load.arival",
            "unknown key; did you mean arrivals?",
        ),
        (
            "needs: {cores: 2}",
            "needs: {cores: 2, zzz: 1}",
            "7: scenarios.overhead.needs.zzz",
            "unknown key; known are cores, services, baseline, callback",
        ),
        (
            "{dispatch",
            "{sent_ratio: 1, dispatch",
            "20: apparatus.sent_ratio",
            "unknown key; did you mean sent_ratio_min?",
        ),
        (
            "max: 60",
            "maximum: 60",
            "13: scenarios.overhead.limits.overhead_p95_ms.maximum",
            "unknown key; did you mean max?",
        ),
        (
            "min: 0.99",
            "margin: 5%",
            "6: scenarios.overhead",
            "limits by margin or equivalent_within go with rounds: {minutes: …}",
        ),
        (', why: "another reason"', "", "14: scenarios.overhead.limits.completed_ratio", "the key why is missing"),
        ("window_s: 4}", "}", "8: scenarios.overhead.load", "the key window_s is missing"),
        # rules between keys
        (
            "max: 150.5, ",
            "",
            "18: scenarios.latency.limits.latency_p99_ms",
            "expected exactly one of max, min, margin and equivalent_within, found none of them",
        ),
        (
            "max: 150.5",
            "max: 150.5, min: 1",
            "18: scenarios.latency.limits.latency_p99_ms",
            "expected exactly one of max, min, margin and equivalent_within, found max and min",
        ),
        (
            "latency_p99_ms",
            "latency_p98_ms",
            "18: scenarios.latency.limits.latency_p98_ms",
            "no such metric; did you mean latency_p99_ms? (docs/thresholds.md lists all)",
        ),
        ("latency_p99_ms", "zzz", "18: scenarios.latency.limits.zzz", "no such metric (docs/thresholds.md lists all)"),
        (
            "scenarios: [latency, overhead]",
            "scenarios: [latency, overhaed]",
            "2: profiles.quick.scenarios[1]",
            "there is no scenario 'overhaed'; did you mean overhead?",
        ),
        (
            "scenarios: [latency, overhead]",
            "scenarios: [zzz]",
            "2: profiles.quick.scenarios[0]",
            "there is no scenario 'zzz'; the file has overhead, latency",
        ),
        (
            "scenarios: [latency, overhead]",
            "scenarios: [latency, latency]",
            "2: profiles.quick.scenarios",
            "'latency' is listed twice",
        ),
        (
            "scenarios: [latency, overhead]",
            "scenarios: []",
            "2: profiles.quick.scenarios",
            "expected at least one entry, found an empty list",
        ),
        (
            "per_generation_max: 10",
            "per_generation_max: 3",
            "9: scenarios.overhead.rounds",
            "per_generation_max=3 must not be below per_generation=4",
        ),
        (
            "per_generation_max: 10",
            "per_generation_max: 104",
            "9: scenarios.overhead.rounds",
            (
                "per_generation_max=104 after per_generation=4 is 101 looks at the figures, one after each round, at "
                "most 100: all of them share one error, and no interval can be told for a smaller share; raise "
                "per_generation, or lower per_generation_max"
            ),
        ),
        (
            "per_generation: 2, per",
            "per_generation: 1, per",
            "17: scenarios.latency.rounds",
            "generations times per_generation must be at least 2: one round shows no spread",
        ),
        (
            "window_s: 5",
            "window_s: 5000",
            "16: scenarios.latency.load",
            "warm-up, window and tail last 5002 s, at most 3600 s",
        ),
        (
            "offered_rps: 30",
            "offered_rps: 9999999",
            "16: scenarios.latency.load",
            "offered_rps=1e+07 over that time is more than 5000000 requests",
        ),
        (
            "payload_bytes: 500",
            "payload_bytes: 5",
            "16: scenarios.latency.load",
            "payload_bytes=5 must be from 36 (the id that every prompt begins with) to 10000000",
        ),
    ],
)
def test_a_mistake_is_named_with_line_key_rule_and_what_was_found(
    old: str, new: str, where: str, complaint: str
) -> None:
    assert complaints(changed(old, new)) == [f"thresholds.yaml:{where}: {complaint}"]


def test_all_problems_are_listed_at_once_in_the_files_order() -> None:
    text = WHOLE.replace("max: 60", "max: abc").replace("[latency, overhead]", "[latency, x]").replace("cores", "coers")
    text = text.replace("latency_p99_ms: {max", "latency_p9_ms: {maxx") + "apparatus: {}\n"
    assert [complaint.split(":")[1] for complaint in complaints(text)] == ["2", "4", "4", "7", "13", "18", "18", "21"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("", ["thresholds.yaml: the file is empty"], id="empty"),
        pytest.param("- a\n", ["thresholds.yaml:1: expected keys with values, found a list"], id="a list"),
        pytest.param("text", ["thresholds.yaml:1: expected keys with values, found 'text'"], id="a text"),
        pytest.param(
            "a: b: c\n", ["thresholds.yaml:1: not YAML: column 5: mapping values are not allowed here"], id="no YAML"
        ),
        pytest.param(
            "a: &x 1\nb: *x\n",
            ["thresholds.yaml:2: the alias *x is not supported: write the values out"],
            id="alias",
        ),
        pytest.param(
            "profiles:\nprofiles: {}\nscenarios: {}\n",
            [
                "thresholds.yaml:1: profiles: expected keys with values, found nothing",
                "thresholds.yaml:1: the key apparatus is missing",
                "thresholds.yaml:2: profiles: the key stands twice, first in line 1",
                "thresholds.yaml:3: scenarios: expected at least one entry, found an empty mapping",
            ],
            id="top level",
        ),
    ],
)
def test_a_file_of_another_kind_is_refused(text: str, lines: list[str]) -> None:
    assert sorted(complaints(text)) == lines


def test_a_file_that_is_not_utf_8_is_refused_with_line_and_byte() -> None:
    Path("thresholds.yaml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(BadInput, match=r"\nthresholds\.yaml:2: not UTF-8: byte 0xff; save it as UTF-8\n"):
        load_thresholds(Path("thresholds.yaml"), KNOWN)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(BadInput, match=r"^missing\.yaml: there is no such file; name another file with --thresholds$"):
        load_thresholds(Path("missing.yaml"), KNOWN)


def test_a_folder_or_a_pipe_is_no_file() -> None:
    Path("folder").mkdir()
    os.mkfifo("pipe")
    with pytest.raises(BadInput, match=r"^folder: not a file but a folder; name another file with --thresholds$"):
        load_thresholds(Path("folder"), KNOWN)
    with pytest.raises(BadInput, match=r"^pipe: not a file but a device or pipe; name another"):
        load_thresholds(Path("pipe"), KNOWN)


def test_a_file_that_may_not_be_read_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    path = written(WHOLE)
    monkeypatch.setattr(Path, "read_bytes", refused)  # root may read everything, so the system does not refuse here
    with pytest.raises(BadInput, match=r"^thresholds\.yaml: cannot be read: Permission denied; name another"):
        load_thresholds(path, KNOWN)


# --- which class a host is of ---


def test_a_host_is_of_the_first_class_that_fits() -> None:
    other = REFERENCE.model_copy(update={"cores": 4})
    assert host_class(HOST, {"big": other, "reference": REFERENCE, "twin": REFERENCE}, "processes") == "reference"
    assert host_class(HOST, {"big": other}, "processes") is None


@pytest.mark.parametrize(
    "difference",
    [
        {"cores_allowed": 4},
        {"cpu_model": "ARM implementer 0x41 part 0xd49"},
        {"cpu_model": None},
        {"memory_bytes": int(24 * 1024**3 * 1.11)},
        {"memory_bytes": int(24 * 1024**3 * 0.89)},
        {"cgroup_limit_cores": 1.5},
    ],
    ids=str,
)
def test_a_host_that_differs_is_of_no_class(difference: dict[str, object]) -> None:
    assert host_class(dataclasses.replace(HOST, **difference), {"reference": REFERENCE}, "processes") is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "difference",
    [
        {"memory_bytes": int(24 * 1024**3 * 0.91)},
        {"cpu_model": "Intel(R) Xeon(R)"},
        {"cgroup_limit_cores": 2.0},
        {"cores_online": 64},
        {"kernel": "5.4"},
    ],
    ids=str,
)
def test_small_differences_do_not_matter(difference: dict[str, object]) -> None:
    host = dataclasses.replace(HOST, **difference)  # type: ignore[arg-type]
    assert host_class(host, {"reference": REFERENCE}, "processes") == "reference"


def test_the_backend_is_part_of_the_class() -> None:
    assert host_class(HOST, {"reference": REFERENCE}, "containers") is None


CLOSED = WHOLE.replace("{offered_rps: 40, warm_up_s: 1, window_s: 4}", "%s")


def test_a_load_may_be_a_closed_loop() -> None:
    text = CLOSED % "{users: 20, think_time_s: 0.5, warm_up_s: 1, window_s: 4, tail_s: 3, stream: true}"
    load = load_thresholds(written(text), KNOWN).scenarios["overhead"].load
    assert load.schedule == ClosedLoop(users=20, warm_up_s=1, window_s=4, tail_s=3, think_time_s=0.5)
    assert load.stream


def test_users_may_come_one_by_one_and_think_between_two_times() -> None:
    text = CLOSED % "{users: 1000, spawn_per_s: 500, think_time_s: 0.5, think_time_max_s: 1, warm_up_s: 5, window_s: 9}"
    load = load_thresholds(written(text), KNOWN).scenarios["overhead"].load
    assert load.schedule == ClosedLoop(1000, 5, 9, think_time_s=0.5, think_time_max_s=1, spawn_per_s=500)


def test_a_load_of_single_requests_has_no_schedule() -> None:
    load = load_thresholds(written(CLOSED % "{requests: 25}"), KNOWN).scenarios["overhead"].load
    assert load.requests == 25
    with pytest.raises(ValueError, match="requests=25 are sent one at a time"):
        _ = load.schedule


@pytest.mark.parametrize(
    ("load", "text"),
    [
        ("{window_s: 4}", "expected exactly one of offered_rps, users and requests, found none of them"),
        (
            "{offered_rps: 4, users: 4, window_s: 4}",
            "expected exactly one of offered_rps, users and requests, found offered_rps and users",
        ),
        ("{users: 4, window_s: 4, arrivals: poisson}", "arrivals goes with offered_rps, not with users"),
        ("{offered_rps: 4, window_s: 4, think_time_s: 1}", "think_time_s goes with users, not with offered_rps"),
        ("{offered_rps: 4, window_s: 4, spawn_per_s: 1}", "spawn_per_s goes with users, not with offered_rps"),
        (
            "{offered_rps: 4, window_s: 4, think_time_max_s: 1}",
            "think_time_max_s goes with users, not with offered_rps",
        ),
        ("{requests: 4, window_s: 4}", "window_s goes with offered_rps or users, not with requests"),
        ("{users: 4}", "the key window_s is missing"),
    ],
)
def test_a_load_that_is_of_no_kind_is_named(load: str, text: str) -> None:
    assert complaints(CLOSED % load) == [f"thresholds.yaml:8: scenarios.overhead.load: {text}"]


def test_stream_is_true_or_false() -> None:
    (line,) = complaints(CLOSED % "{users: 4, window_s: 4, stream: 1}")
    assert line == "thresholds.yaml:8: scenarios.overhead.load.stream: expected true or false, found 1"


def test_a_limit_may_differ_by_host_class() -> None:
    text = WHOLE.replace("max: 60", "max: 60\n        max_on: {reference: 90}")
    limit = load_thresholds(written(text), KNOWN).scenarios["overhead"].limits["overhead_p95_ms"]
    assert (limit.maximum, dict(limit.maximum_on)) == (60, {"reference": 90})


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (
            "max: 60",
            "max: 60\n        max_on: {refrence: 90}",
            "overhead_p95_ms.max_on.refrence: there is no host class 'refrence'; did you mean reference?",
        ),
        (
            "max: 60",
            "max: 60\n        max_on: {reference: -1}",
            "overhead_p95_ms.max_on.reference: expected a number above 0, found -1",
        ),
        ("min: 0.99", "min: 0.99, max_on: {reference: 1}", "completed_ratio: max_on goes with max"),
    ],
)
def test_a_wrong_max_on_is_named(before: str, after: str, text: str) -> None:
    (line,) = complaints(WHOLE.replace(before, after))
    assert line.partition("scenarios.overhead.limits.")[2] == text


def test_a_host_class_may_have_a_measured_speed() -> None:
    text = WHOLE.replace("processes}", "processes, host_speed_ms: 12.5}")
    assert load_thresholds(written(text), KNOWN).hosts["reference"].host_speed_ms == 12.5


def test_a_scenario_may_need_services() -> None:
    text = WHOLE.replace("needs: {cores: 2}", "needs: {services: [redis, postgres]}")
    assert load_thresholds(written(text), KNOWN).scenarios["overhead"].needs.services == ("redis", "postgres")


def test_a_limit_may_be_nothing_at_all() -> None:
    text = WHOLE.replace("max: 60", "max: 0")
    assert load_thresholds(written(text), KNOWN).scenarios["overhead"].limits["overhead_p95_ms"].maximum == 0


# --- two gateways compared ---

COMPARED = """\
profiles:
  compare: {budget_minutes: 6, on_invalid: fail, scenarios: [regression]}
  release: {budget_minutes: 90, on_invalid: fail, scenarios: [regression]}
scenarios:
  regression:
    needs: {cores: 2, baseline: true}
    load: {users: 2, window_s: 0.4, direct_rps: 60, tail_s: 3}
    rounds: {minutes: 5, minutes_in: {release: 15}, generations_max: 8, looks: 4}
    limits:
      overhead_p95_ms:
        why: "a reason"
        margin: 5%
        margin_in: {release: 2.5%}
        floor: 0.2
      latency_p99_ms: {margin: 20%, why: "another reason"}
apparatus:
  {dispatch_lag_p99_ms: 2, sent_ratio_min: 0.98, generator_cpu_ratio_max: 0.8, direct_p95_above_mock_delay_ms: 5}
"""


def compared(old: str = "", new: str = "") -> Scenario:
    """The scenario of the sample, one thing changed."""
    return load_thresholds(written(COMPARED.replace(old, new)), KNOWN).scenarios["regression"]


def test_a_limit_by_margin_knows_its_line_its_floor_and_its_profiles() -> None:
    first, second = compared().limits.values()
    assert (first.maximum, first.minimum, first.margin, first.floor) == (None, None, 0.05, 0.2)
    assert (first.why, first.path, first.line, first.basis) == ("a reason", "thresholds.yaml", 12, "")
    assert dict(first.margin_in) == {"release": 0.025}
    assert (second.margin, second.floor, dict(second.margin_in), second.line) == (0.2, 0.0, {}, 15)


def test_a_profile_may_have_a_margin_of_its_own_and_it_is_said_that_it_is() -> None:
    first, second = compared().limits.values()
    assert (first.in_profile("release").margin, first.in_profile("release").basis) == (0.025, "of the profile release")
    assert first.in_profile("compare") is first
    assert second.in_profile("release") is second


def test_how_long_two_gateways_are_compared() -> None:
    rounds = compared().rounds
    assert isinstance(rounds, Comparing)
    assert (rounds.generations_max, rounds.looks) == (8, 4)
    assert (rounds.minutes_of("compare"), rounds.minutes_of("release")) == (5, 15)
    more = compared("generations_max: 8", "generations_max: 8, generations_max_in: {release: 20}").rounds
    assert isinstance(more, Comparing)
    assert (more.generations_max_of("compare"), more.generations_max_of("release")) == (8, 20)
    more = compared("generations_max: 8", "generations_max: 8, generations_max_in: {release: 20}").rounds
    assert isinstance(more, Comparing)
    assert (more.generations_max_of("compare"), more.generations_max_of("release")) == (8, 20)
    plain = compared(", minutes_in: {release: 15}, generations_max: 8, looks: 4", "").rounds
    assert isinstance(plain, Comparing)
    assert (plain.generations_max, plain.looks, plain.minutes_of("release")) == (12, 3, 5)
    fewest = compared("generations_max: 8", f"generations_max: {GENERATIONS_MIN}").rounds
    assert isinstance(fewest, Comparing)
    assert fewest.generations_max == GENERATIONS_MIN == 4


def test_windows_without_a_gateway_may_have_a_rate_where_users_would_be_too_fast() -> None:
    load = compared().load
    assert load.schedule == ClosedLoop(users=2, warm_up_s=0, window_s=0.4, tail_s=3)
    assert load.direct_schedule == OpenLoop(offered_rps=60, warm_up_s=0, window_s=0.4, tail_s=3)
    assert load.direct_users == ClosedLoop(users=2, warm_up_s=0, window_s=0.4, tail_s=3, think_time_s=2 / 60)
    without = compared(", direct_rps: 60", "").load
    assert (without.direct_schedule, without.direct_users) == (None, None)
    assert without.turns_per_session is None
    assert compared("direct_rps: 60", "turns_per_session: 3").load.turns_per_session == 3


def test_a_scenario_needs_a_baseline_or_does_not() -> None:
    assert compared().needs.baseline
    assert not load_thresholds(written(WHOLE), KNOWN).scenarios["overhead"].needs.baseline


def test_the_shipped_comparison_is_the_one_of_its_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    thresholds = load_thresholds(Path("thresholds.yaml"), METRICS, FIGURES)
    assert thresholds.profiles[COMPARE_PROFILE].scenarios == ("regression",)
    assert thresholds.scenarios["regression"].limits.keys() <= FIGURES.keys()


@pytest.mark.parametrize(
    ("old", "new", "where", "complaint"),
    [
        (
            "margin: 5%",
            "margin: 0.05",
            "12: LIMITS.overhead_p95_ms.margin",
            "expected a percentage above 0 such as 5%, found 0.05",
        ),
        (
            "margin: 5%",
            "margin: 0%",
            "12: LIMITS.overhead_p95_ms.margin",
            "expected a percentage above 0 such as 5%, found '0%'",
        ),
        (
            "margin: 5%",
            "margin: -5%",
            "12: LIMITS.overhead_p95_ms.margin",
            "expected a percentage above 0 such as 5%, found '-5%'",
        ),
        (
            "margin: 5%",
            "margin: 5 %",
            "12: LIMITS.overhead_p95_ms.margin",
            "expected a percentage above 0 such as 5%, found '5 %'",
        ),
        (
            "release: 2.5%",
            "release: 2.5",
            "13: LIMITS.overhead_p95_ms.margin_in.release",
            "expected a percentage above 0 such as 5%, found 2.5",
        ),
        (
            "release: 2.5%",
            "relaese: 2.5%",
            "13: LIMITS.overhead_p95_ms.margin_in.relaese",
            "there is no profile 'relaese'; did you mean release?",
        ),
        (
            "release: 2.5%",
            "x: 2.5%",
            "13: LIMITS.overhead_p95_ms.margin_in.x",
            "there is no profile 'x'; the file has compare, release",
        ),
        ("floor: 0.2", "floor: -1", "14: LIMITS.overhead_p95_ms.floor", "expected a number of at least 0, found -1"),
        (
            "margin: 20%",
            "margin: 20%, max: 3",
            "15: LIMITS.latency_p99_ms",
            "expected exactly one of max, min, margin and equivalent_within, found max and margin",
        ),
        (
            "margin: 20%, ",
            "",
            "15: LIMITS.latency_p99_ms",
            "expected exactly one of max, min, margin and equivalent_within, found none of them",
        ),
        (
            "margin: 20%",
            "max: 20",
            "5: scenarios.regression",
            "some limits compare with the baseline, and latency_p99_ms does not: make two scenarios of it",
        ),
        ("margin: 20%", "margin: 20%, max_on: {}", "15: LIMITS.latency_p99_ms", "max_on goes with max"),
        (
            "margin: 20%",
            "equivalent_within: 5",
            "15: LIMITS.latency_p99_ms.equivalent_within",
            "expected a percentage above 0 such as 5%, found 5",
        ),
        (
            "margin: 20%",
            "equivalent_within: 5%, floor: 1",
            "15: LIMITS.latency_p99_ms",
            "floor goes with margin",
        ),
        (
            "margin: 20%",
            "equivalent_within: 5%, claim: 5%",
            "15: LIMITS.latency_p99_ms",
            "claim goes with margin",
        ),
        (
            "baseline: true",
            "baseline: true, callback: langsmit",
            "6: scenarios.regression.needs.callback",
            "expected one of langsmith, gcs, webhook, found 'langsmit'",
        ),
        ("baseline: true", "baseline: 1", "6: scenarios.regression.needs.baseline", "expected true or false, found 1"),
        ("minutes: 5", "minutes: 0", "8: scenarios.regression.rounds.minutes", "expected a number above 0, found 0"),
        (
            "{release: 15}",
            "{relase: 15}",
            "8: scenarios.regression.rounds.minutes_in.relase",
            "there is no profile 'relase'; did you mean release?",
        ),
        (
            "{release: 15}",
            "{release: x}",
            "8: scenarios.regression.rounds.minutes_in.release",
            "expected a number above 0, found 'x'",
        ),
        (
            "generations_max: 8",
            "generations_max: 4.5",
            "8: scenarios.regression.rounds.generations_max",
            "expected a whole number of at least 4, found 4.5",
        ),
        (
            "generations_max: 8",
            "generations_max: 3",
            "8: scenarios.regression.rounds.generations_max",
            "expected a whole number of at least 4, found 3",
        ),
        (
            "looks: 4",
            "looks: 0",
            "8: scenarios.regression.rounds.looks",
            "expected a whole number from 1 to 100, found 0",
        ),
        (
            "looks: 4",
            "looks: 101",
            "8: scenarios.regression.rounds.looks",
            "expected a whole number from 1 to 100, found 101",
        ),
        ("looks: 4", "look: 4", "8: scenarios.regression.rounds.look", "unknown key; did you mean looks?"),
        (
            "direct_rps: 60",
            "direct_rps: 0",
            "7: scenarios.regression.load.direct_rps",
            "expected a number above 0, found 0",
        ),
        (
            "users: 2",
            "offered_rps: 2",
            "7: scenarios.regression.load",
            "direct_rps goes with users, not with offered_rps",
        ),
        (
            "{minutes: 5, minutes_in: {release: 15}, generations_max: 8, looks: 4}",
            "{generations: 2, per_generation: 4, per_generation_max: 4}",
            "5: scenarios.regression",
            "limits by margin or equivalent_within go with rounds: {minutes: …}",
        ),
        (
            "{minutes: 5, minutes_in: {release: 15}, generations_max: 8, looks: 4}",
            "5",
            "8: scenarios.regression.rounds",
            "expected keys with values, found 5",
        ),
    ],
)
def test_a_mistake_in_a_comparison_is_named_with_its_line(old: str, new: str, where: str, complaint: str) -> None:
    assert COMPARED.count(old) == 1, f"{old!r} must stand once in the sample"
    where = where.replace("LIMITS", "scenarios.regression.limits")
    assert complaints(COMPARED.replace(old, new)) == [f"thresholds.yaml:{where}: {complaint}"]


def test_a_margin_needs_a_metric_that_two_arms_are_compared_by_and_it_is_said_which_those_are() -> None:
    complaint = "cannot have a margin or equivalent_within: two arms are compared by overhead_p95_ms, rss_mib"
    assert complaints(COMPARED, ("overhead_p95_ms", "rss_mib")) == [
        f"thresholds.yaml:5: scenarios.regression: latency_p99_ms {complaint}"
    ]
    load_thresholds(written(COMPARED), KNOWN, ("overhead_p95_ms", "latency_p99_ms"))
    load_thresholds(written(WHOLE), KNOWN, ())  # limits by numbers are on any metric


@pytest.mark.parametrize(
    ("old", "new", "where", "complaint"),
    [
        ("max: 150.5", "max: 150.5, floor: 1", "18: scenarios.latency.limits.latency_p99_ms", "floor goes with margin"),
        (
            "max: 150.5",
            "max: 150.5, margin_in: {quick: 5%}",
            "18: scenarios.latency.limits.latency_p99_ms",
            "margin_in goes with margin",
        ),
        (
            "needs: {cores: 2}",
            "needs: {baseline: true}",
            "6: scenarios.overhead",
            "needs: {baseline: true} goes with limits by margin or equivalent_within, and there is none",
        ),
        (
            "{generations: 1, per_generation: 2, per_generation_max: 2}",
            "{minutes: 5}",
            "15: scenarios.latency",
            "rounds: {minutes: …} goes with limits by margin or equivalent_within",
        ),
    ],
)
def test_what_belongs_to_a_comparison_is_refused_elsewhere(old: str, new: str, where: str, complaint: str) -> None:
    assert complaints(changed(old, new)) == [f"thresholds.yaml:{where}: {complaint}"]


# --- drift from a committed record ---

DRIFTING = COMPARED.replace("margin: 20%", "margin: 20%, drift: 40%").replace(
    "scenarios:\n", "drift: {record: docs/baseline.json}\nscenarios:\n"
)


def test_a_limit_may_have_a_budget_for_all_steps_together(tmp_path: Path) -> None:
    thresholds = load_thresholds(written(DRIFTING), KNOWN)
    first, second = thresholds.scenarios["regression"].limits.values()
    assert (first.drift, second.drift) == (None, 0.4)
    assert thresholds.drift == DriftSource(tmp_path / "docs/baseline.json", "docs/baseline.json", "thresholds.yaml:4")
    assert load_thresholds(written(COMPARED), KNOWN).drift is None


def test_the_record_is_where_the_file_is_wherever_one_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(DRIFTING).absolute()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    source = load_thresholds(path, KNOWN).drift
    assert source is not None
    assert source.file == tmp_path / "docs/baseline.json"


def test_a_maximum_may_have_one_too() -> None:
    text = WHOLE.replace("max: 60", "max: 60\n        drift: 25%").replace("hosts:", "drift: {record: b.json}\nhosts:")
    assert load_thresholds(written(text), KNOWN).scenarios["overhead"].limits["overhead_p95_ms"].drift == 0.25


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "drift: {record: docs/baseline.json}\n",
            "",
            (
                "15: scenarios.regression.limits.latency_p99_ms.drift: there is no record to drift from: add "
                "drift: {record: FILE} at the top of the file"
            ),
        ),
        (
            ", drift: 40%",
            "",
            (
                "4: drift: no limit has a drift, so nothing is held against this record: add drift: 15% to those that "
                "should be"
            ),
        ),
        (
            "drift: 40%",
            "drift: 0.4",
            "16: scenarios.regression.limits.latency_p99_ms.drift: expected a percentage above 0 such as 5%, found 0.4",
        ),
        (
            "margin: 20%, drift",
            "equivalent_within: 20%, drift",
            "16: scenarios.regression.limits.latency_p99_ms: drift goes with max or margin",
        ),
        (
            "{record: docs/baseline.json}",
            "{record: }",
            "4: drift.record: expected a text that is not empty, found nothing",
        ),
        ("{record: docs/baseline.json}", "{file: b.json}", "4: drift: the key record is missing"),
        ("{record: docs/baseline.json}", "{file: b.json}", "4: drift.file: unknown key; known are record"),
        ("{record: docs/baseline.json}", "b.json", "4: drift: expected keys with values, found 'b.json'"),
    ],
)
def test_a_drift_that_nothing_or_no_record_goes_with_is_named(old: str, new: str, complaint: str) -> None:
    assert DRIFTING.count(old) == 1
    assert f"thresholds.yaml:{complaint}" in complaints(DRIFTING.replace(old, new))


# --- a gateway compared with itself, with something more ---

LOGGING = (
    COMPARED.replace("baseline: true", "callback: langsmith")
    .replace("margin: 20%", "equivalent_within: 5%")
    .replace("floor: 0.2", "claim: 5%")
    .replace("apparatus:", '      completed_ratio: {min: 0.99, why: "counted"}\napparatus:')
)


def test_two_arms_of_one_gateway_need_no_baseline_and_may_have_limits_by_numbers_too() -> None:
    scenario = load_thresholds(written(LOGGING), KNOWN).scenarios["regression"]
    first, second, third = scenario.limits.values()
    assert scenario.compares
    assert (scenario.needs.baseline, scenario.needs.callback) == (False, "langsmith")
    assert (first.margin, first.claim, first.decided_within, first.is_relative) == (0.05, 0.05, 0.05, True)
    assert (second.equivalent_within, second.claim, second.decided_within, second.is_relative) == (
        0.05,
        None,
        0.05,
        True,
    )
    assert (third.minimum, third.decided_within, third.is_relative) == (0.99, None, False)
    assert second.line == 15


def test_every_callback_is_in_the_shipped_profile_and_all_are_asked_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    thresholds = load_thresholds(Path("thresholds.yaml"), METRICS, FIGURES)
    assert thresholds.profiles["callbacks"].scenarios == tuple(f"callback_{name}" for name in CALLBACKS)
    scenarios = [thresholds.scenarios[f"callback_{name}"] for name in CALLBACKS]
    assert [scenario.needs.callback for scenario in scenarios] == list(CALLBACKS)
    assert all(scenario.compares for scenario in scenarios)
    assert len({tuple(scenario.limits) for scenario in scenarios}) == 1


# --- a dependency that fails ---

FAILING = WHOLE.replace(
    "{generations: 1, per_generation: 2, per_generation_max: 2}",
    "{cycles: 2, before_s: 5, during_s: 20, after_s_max: 30}",
)


def test_how_long_a_dependency_fails() -> None:
    scenario = load_thresholds(written(FAILING), KNOWN).scenarios["latency"]
    assert scenario.rounds == Faulting(cycles=2, before_s=5, during_s=20, after_s_max=30)
    assert not scenario.compares


@pytest.mark.parametrize(
    ("old", "new", "where", "complaint"),
    [
        ("cycles: 2", "cycles: 0", "rounds.cycles", "expected a whole number above 0, found 0"),
        ("during_s: 20", "during_s: 0", "rounds.during_s", "expected a number above 0, found 0"),
        ("during_s: 20", "durng_s: 20", "rounds.durng_s", "unknown key; did you mean during_s?"),
    ],
)
def test_a_mistake_in_it_is_named(old: str, new: str, where: str, complaint: str) -> None:
    (found, *_) = [one for one in complaints(FAILING.replace(old, new)) if where in one]
    assert found.endswith(f": scenarios.latency.{where}: {complaint}")


# --- a search for a capacity ---

SEARCHING = WHOLE.replace(
    "rounds: {generations: 1, per_generation: 2, per_generation_max: 2}",
    "objective: {latency_p95_ms: 250, error_ratio: 0.001, completed_ratio: 0.99}\n"
    "    rounds: {generations: 4, windows_max: 16, within: 5%}",
).replace("limits: {latency_p99_ms: {max: 150.5,", "limits: {capacity_rps: {min: 30,")
SEARCHED = (*KNOWN, "capacity_rps")


def search_complaints(text: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        load_thresholds(written(text), SEARCHED)
    return str(caught.value).splitlines()[1:-1]


def test_what_a_rate_has_to_keep_to_and_how_it_is_searched_for() -> None:
    scenario = load_thresholds(written(SEARCHING), SEARCHED).scenarios["latency"]
    assert scenario.rounds == Searching(generations=4, windows_max=16, within="5%")  # type: ignore[arg-type]
    assert isinstance(scenario.rounds, Searching)
    assert scenario.rounds.within == 0.05
    assert scenario.objective == Objective(latency_p95_ms=250, error_ratio=0.001, completed_ratio=0.99)
    assert scenario.limits["capacity_rps"].minimum == 30
    assert load_thresholds(written(SEARCHING), SEARCHED).scenarios["overhead"].objective is None


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("windows_max: 16", "windows_max: 0", "rounds.windows_max: expected a whole number above 0, found 0"),
        ("generations: 4", "generations: 3", "rounds.generations: expected a whole number of at least 4, found 3"),
        ("error_ratio: 0.001, ", "", "objective: the key error_ratio is missing"),
        (
            "latency_p95_ms: 250",
            "latency_p59_ms: 250",
            "objective.latency_p59_ms: unknown key; did you mean latency_p95",
        ),
        (
            "    objective: {latency_p95_ms: 250, error_ratio: 0.001, completed_ratio: 0.99}\n",
            "",
            "objective and rounds: {windows_max: …} go together: a rate is held or not",
        ),
        (
            "capacity_rps: {min: 30,",
            "latency_p99_ms: {max: 30,",
            "rounds: {windows_max: …} goes with one limit, on capacity_rps, which goes with no other",
        ),
        (
            "offered_rps: 30, warm_up_s: 0, window_s: 5, tail_s: 2, arrivals: poisson",
            "users: 3, window_s: 5",
            "rounds: {windows_max: …} goes with a load at a rate (offered_rps), the first one tried",
        ),
        ("offered_rps: 30,", "offered_rps: 7,", "offered_rps × window_s must be at least 40, or a p95 says nothing"),
    ],
)
def test_a_mistake_in_a_search_is_named(old: str, new: str, complaint: str) -> None:
    assert old in SEARCHING
    found = search_complaints(SEARCHING.replace(old, new))
    assert any("scenarios.latency" in one and complaint in one for one in found), found


def test_an_unknown_key_of_a_part_that_may_be_left_out_is_named() -> None:
    text = WHOLE.replace("    needs: {cores: 2}\n", "    shown_load: {users: 3, window_s: 5, windw_s: 5}\n")
    assert any("shown_load.windw_s: unknown key; did you mean window_s?" in one for one in complaints(text))


def test_an_objective_without_a_search_is_a_mistake() -> None:
    text = WHOLE.replace(
        "    needs: {cores: 2}\n", "    objective: {latency_p95_ms: 9, error_ratio: 0, completed_ratio: 1}\n"
    )
    assert any("objective and rounds: {windows_max: …} go together" in one for one in complaints(text))
