"""What does the result of one load say, in lines that read in ten seconds, and as JSON for programs?

Comes in: the job and its result. Goes out: lines of text, a JSON document, and whether the generator was fit. Prints
and writes nothing; judges the generator, never the gateway.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

from perfgate.load.job import LoadJob
from perfgate.load.payload import Payload
from perfgate.load.result import LoadResult
from perfgate.load.schedule import ClosedLoop
from perfgate.load.wire import result_as_json
from perfgate.measure.histogram import Histogram

#: What a fit generator does of its schedule, and how late it is at most; below the first its figures say nothing.
SENT_RATIO_MIN: Final = 0.98
DISPATCH_LAG_P99_MAX_MS: Final = 2.0
#: Of the JSON document; raised whenever a field changes its meaning or goes.
JSON_SCHEMA_VERSION: Final = 2
_PERCENTILES: Final = (50.0, 95.0, 99.0)
_LABEL_WIDTH: Final = 17


def was_fit(result: LoadResult) -> bool:
    """Whether the generator sent enough of its schedule for the other figures to mean something."""
    return result.sent_ratio >= SENT_RATIO_MIN


def summary_lines(job: LoadJob, result: LoadResult) -> list[str]:
    """The result for people."""
    return [
        *_target_lines(job, result),
        _schedule_line(job),
        "",
        *figure_lines(result, closed=isinstance(job.schedule, ClosedLoop), stream=job.stream),
        "",
        _labelled("generator", _generator_text(job, result)),
    ]


def figure_lines(result: LoadResult, *, closed: bool, stream: bool) -> list[str]:
    """What came of a load, whoever sent it.

    Args:
        result: its figures.
        closed: whether it was a closed loop, which offers nothing.
        stream: whether replies were streams.
    """
    drained_in_s = result.drained_mono_s - result.window_opened_mono_s
    return [
        _labelled(
            "requests",
            ("" if closed else f"offered {result.offered:,}, ")
            + f"sent {result.sent:,}, completed {result.completed:,}, succeeded {result.succeeded:,}",
        ),
        _labelled(
            "throughput",
            f"{result.throughput_rps:.5g} succeeded/s over {drained_in_s:.3g} s, "
            f"at most {result.in_flight_max:,} in flight (cap {result.in_flight_cap:,})",
        ),
        *([_labelled("streams", _chunks_text(result))] if stream else []),
        *_error_lines(result),
        "",
        _labelled("milliseconds", "".join(f"{name:>10}" for name in ("p50", "p95", "p99", "max"))),
        _duration_line("latency", result.latency, "nothing succeeded"),
        _duration_line("service time", result.service_time, "nothing succeeded"),
        *(_stream_lines(result) if stream else []),
        *_overhead_lines(result),
        _duration_line("dispatch lag", result.dispatch_lag, "nothing was sent"),
    ]


def summary_json(job: LoadJob, result: LoadResult, *, started_at: str, perfgate_version: str) -> dict[str, Any]:
    """The result for programs; neither the API key nor headers are in it.

    Args:
        job: what was asked for.
        result: what came of it.
        started_at: wall-clock time of the start, ISO 8601 with its zone.
        perfgate_version: the version that measured.

    Returns:
        JSON values: `result` holds every raw count and encoded histogram, `derived` what most readers want of them.
    """
    described = asdict(job)
    for target in described["targets"]:
        # Headers may hold what nobody should read; a process id tells a reader nothing.
        del target["api_key"], target["headers"], target["accepts_in"]
    return {
        "schema": "perfgate-load",
        "schema_version": JSON_SCHEMA_VERSION,
        "perfgate_version": perfgate_version,
        "started_at": started_at,
        "job": described,
        "result": result_as_json(result),
        "derived": {
            "generator_was_fit": was_fit(result),
            "sent_ratio": result.sent_ratio,
            "completed_ratio": result.completed_ratio,
            "error_ratio": result.error_ratio,
            "throughput_rps": result.throughput_rps,
            "generator_cpu_ratio": result.generator_cpu_ratio,
            "latency_ms": _figures_ms(result.latency),
            "service_time_ms": _figures_ms(result.service_time),
            "dispatch_lag_ms": _figures_ms(result.dispatch_lag),
            "header_overhead_ms": _figures_ms(result.header_overhead),
            "first_token_ms": _figures_ms(result.first_token),
            "first_token_service_ms": _figures_ms(result.first_token_service),
            "chunk_gap_ms": _figures_ms(result.chunk_gap),
        },
    }


def _labelled(label: str, text: str) -> str:
    return f"{label:<{_LABEL_WIDTH}}{text}"


def _target_lines(job: LoadJob, result: LoadResult) -> Iterator[str]:
    for target, sent in zip(job.targets, result.sent_by_target, strict=True):
        prompt_bytes = Payload(target.model, job.payload_bytes).prompt_bytes
        prompts = "always the same prompt" if job.same_prompt else "prompts"
        line = f"{target.url}  model {target.model}, {prompts} of {prompt_bytes:,} bytes"
        yield line + (f", sent {sent:,}" if len(job.targets) > 1 else "")


def _schedule_line(job: LoadJob) -> str:
    match job.schedule:
        case ClosedLoop(users=users, think_time_s=think_time_s, think_time_max_s=think_time_max_s):
            upto = "" if think_time_max_s is None else f" to {think_time_max_s:g}"
            load = f"closed loop, {users:,} users, {think_time_s:g}{upto} s of think time"
        case schedule:
            load = f"open loop, {schedule.offered_rps:g} requests/s, {schedule.arrivals} arrivals"
    streams = ", streams" if job.stream else ""
    connections = f", {job.connections:,} connections in turn" if job.connections else ""
    timing = f"window {job.schedule.window_s:g} s after {job.schedule.warm_up_s:g} s of warm-up"
    return f"{load}{streams}{connections}, {timing}"


def _stream_lines(result: LoadResult) -> Sequence[str]:
    return [
        _duration_line("first token", result.first_token, "no chunk with content came"),
        _duration_line("  since its send", result.first_token_service, "no chunk with content came"),
        _duration_line("chunk gap", result.chunk_gap, "no stream had two chunks with content"),
    ]


def _error_lines(result: LoadResult) -> Sequence[str]:
    if not result.errors:
        return [_labelled("errors", "none")]
    count = sum(error.count for error in result.errors)
    return [
        _labelled("errors", f"{count:,} of {result.sent:,} sent ({100 * count / result.sent:.3g} %)"),
        *(f"  {error.kind:<22}{error.count:>8,}  {' '.join(error.example.split())[:120]}" for error in result.errors),
    ]


def _chunks_text(result: LoadResult) -> str:
    return f"{result.streams_done:,} ended with [DONE], {result.chunks:,} chunks in all"


def _duration_line(label: str, durations: Histogram, when_empty: str) -> str:
    if not durations.count:
        return _labelled(label, f"no figures: {when_empty}")
    figures_ms = [durations.percentile_ms(percentile) for percentile in _PERCENTILES] + [durations.max_ms]
    return _labelled(label, "".join(f"{figure_ms:>10.2f}" for figure_ms in figures_ms))


def _overhead_lines(result: LoadResult) -> Sequence[str]:
    if not result.header_overhead.count:
        return []
    line = _duration_line("header overhead", result.header_overhead, "")
    return [line + (f"  (missing in {result.header_missing:,} replies)" if result.header_missing else "")]


def _generator_text(job: LoadJob, result: LoadResult) -> str:
    closed = isinstance(job.schedule, ClosedLoop)
    sent = "closed loop" if closed else f"sent {100 * result.sent_ratio:.4g} % of its schedule"
    if not result.sent and closed:
        return "nothing was sent within the window: every user still waited for a reply to a request of the warm-up"
    if not result.sent:
        return f"INVALID: apparatus: {sent}; was it suspended?"
    lag_p99_ms = result.dispatch_lag.percentile_ms(99)
    figures = (
        f"{sent}, dispatch lag p99 {lag_p99_ms:.2g} ms, {1000 * result.generator_cpu_s / result.sent:.2g} ms of CPU "
        f"a request, {100 * result.generator_cpu_ratio:.2g} % of one core"
    )
    if not was_fit(result):
        return (
            f"INVALID: apparatus: {figures}; at least {100 * SENT_RATIO_MIN:g} % are needed: lower --rate, or give it "
            "a core of its own with --cpus"
        )
    if lag_p99_ms > DISPATCH_LAG_P99_MAX_MS:
        return (
            f"late: {figures}; latency includes that lag, which should be under {DISPATCH_LAG_P99_MAX_MS:g} ms: "
            "give it a core of its own with --cpus"
        )
    return f"fit: {figures}"


def _figures_ms(durations: Histogram) -> dict[str, float] | None:
    if not durations.count:
        return None
    return {
        "mean": durations.mean_ms(),
        **{f"p{percentile:g}": durations.percentile_ms(percentile) for percentile in _PERCENTILES},
        "max": durations.max_ms,
    }
