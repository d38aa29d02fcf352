"""Does everything that travels between the generator and its caller arrive as it was sent?"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfgate.load import wire
from perfgate.load.api import Api
from perfgate.load.job import LoadJob, Target
from perfgate.load.result import ErrorCount, FailedReply, WorkerUse
from perfgate.load.schedule import OpenLoop
from perfgate.measure.histogram import Histogram
from tests.harness.load.conftest import load_job, load_result

counts = st.integers(0, 10**7)
histograms = st.lists(st.integers(1, 10**9), max_size=30).map(Histogram.of_us)
errors = st.lists(st.builds(ErrorCount, st.text(), counts, st.text()), max_size=3).map(tuple)


@given(counts, histograms, errors, st.floats(0, 1e7), st.lists(counts).map(tuple))
def test_a_result_survives_the_wire(
    offered: int, times: Histogram, found: Any, drained_mono_s: float, by_target: tuple[int, ...]
) -> None:
    result = load_result(
        offered=offered,
        latency=times,
        errors=found,
        drained_mono_s=drained_mono_s,
        sent_by_target=by_target,
        first_token=times,
        first_token_service=times,
        chunk_gap=times,
        chunks=offered,
        streams_done=offered,
        session_opening=times,
        sessions_opened=offered,
        sessions_lost=offered,
        sessions_held_min=offered,
        workers_expected=2,
        workers=(WorkerUse("node/7", offered, 0.5, 97.5), WorkerUse("node/8", 0, 0.0)),
        failed_replies=(FailedReply("http_500", "boom"),),
    )
    line = wire.report_line(result)
    assert line.count("\n") == 1
    assert wire.report_of_line(line) == result


@given(st.text(), st.floats(1, 100), st.sampled_from(["constant", "poisson"]), st.none() | st.integers(36, 9999))
def test_a_job_survives_the_wire_with_its_key(model: str, rate_rps: float, arrivals: Any, length: int | None) -> None:
    job = load_job(
        "http://h:1/x",
        model=model,
        rate_rps=rate_rps,
        arrivals=arrivals,
        api_key="sk-9",
        payload_bytes=length,
        seed=4,
        in_flight_cap=9,
        cpus=(0, 1),
    )
    assert wire.job_of_line(wire.job_line(job)) == job


def test_a_closed_loop_of_streams_to_several_targets_survives_the_wire() -> None:
    job = load_job("http://a/", "http://b/", users=7, think_time_s=0.5, stream=True, connections=4)
    assert wire.job_of_line(wire.job_line(job)) == job
    job = load_job("http://a/", users=7, think_time_s=0.5, think_time_max_s=1, spawn_per_s=500, warm_up_s=1)
    assert wire.job_of_line(wire.job_line(job)) == job


def test_the_endpoint_of_a_job_survives_the_wire() -> None:
    job = load_job("http://a/", users=2, api=Api.REALTIME, turns_per_session=4)
    arrived = wire.job_of_line(wire.job_line(job))
    assert arrived == job
    assert arrived.api is Api.REALTIME


def test_the_same_prompt_to_a_target_in_another_network_survives_the_wire() -> None:
    job = LoadJob((Target("http://a/", "m", accepts_in=77),), OpenLoop(1, 0, 1), same_prompt=True)
    assert wire.job_of_line(wire.job_line(job)) == job


def test_headers_survive_the_wire_and_stay_with_their_target() -> None:
    told = Target("http://a/", "m", headers=(("x-a", "1"), ("x-b", "two words")))
    job = LoadJob((told, Target("http://b/", "m")), OpenLoop(1, 0, 1))
    assert wire.job_of_line(wire.job_line(job)) == job


@pytest.mark.parametrize("report", [wire.Passed("window_opened", 12.5), wire.CouldNotRun("nobody there")])
def test_other_reports_survive_the_wire(report: wire.Passed | wire.CouldNotRun) -> None:
    assert wire.report_of_line(wire.report_line(report)) == report


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Hello",
        "[]",
        "{}",
        '{"event": "lunch"}',
        '{"event": "drained"}',
        '{"event": "result", "result": {"offered": 1}}',
        b"\xff",
    ],
)
def test_nonsense_is_named_as_such(line: str | bytes) -> None:
    with pytest.raises(wire.NotOnTheWire, match="not a report of the generator: "):
        wire.report_of_line(line)


@pytest.mark.parametrize("line", ["Hello", "{}", '{"target": {"api_key": "sk-secret"}}'])
def test_a_line_that_is_no_job_is_not_repeated(line: str) -> None:
    with pytest.raises(wire.NotOnTheWire, match=r"^not a job: ") as refused:
        wire.job_of_line(line)
    assert "sk-secret" not in str(refused.value)
