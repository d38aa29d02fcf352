"""`perfgate load`: send a load to any OpenAI-compatible gateway, and show what came of it.

Comes in: options. Goes out: a summary on standard output, a JSON file when asked for, an exit code. Latency never
decides the code: a limit needs a comparison, and that is what the test suite is for.
"""

import argparse
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, get_args
from urllib.parse import urlsplit, urlunsplit

from rich.console import Console

from perfgate.atomic_file import write_atomically
from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode, worst
from perfgate.load.job import DEFAULT_IN_FLIGHT_CAP, LoadJob, Target, check_api_key
from perfgate.load.result import LoadResult
from perfgate.load.runner import Generator
from perfgate.load.schedule import DEFAULT_TAIL_S, Arrivals, ClosedLoop, OpenLoop, Schedule
from perfgate.load.summary import summary_json, summary_lines, was_fit

DEFAULT_PATH: Final = "/v1/chat/completions"
#: The model of LiteLLM's published load test.
DEFAULT_MODEL: Final = "fake-openai-endpoint"
DEFAULT_WARM_UP_S: Final = 3.0

#: Messages about a job name its fields; the user knows the options.
_OPTION_OF_FIELD: Final = {
    "offered_rps": "--rate",
    "users": "--users",
    "think_time_s": "--think",
    "window_s": "--duration",
    "warm_up_s": "--warm-up",
    "tail_s": "--tail",
    "seed": "--seed",
    "payload_bytes": "--payload-bytes",
    "in_flight_cap": "--in-flight-cap",
    "connections": "--connections",
}

_EPILOG: Final = """\
exit codes: 0 the load ran, whatever its latency; 2 interrupted; 4 bad input, nothing was sent; 10 INVALID: the
generator could not keep its schedule; 12 the target was not reachable, nothing succeeded, or the generator died
"""


def add_load(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `load` to the commands of `perfgate`."""
    parser = commands.add_parser(
        "load",
        help="send a load to a gateway and show what came of it",
        description="Send chat completions, either at a fixed rate, whether or not earlier ones were answered, or as a "
        "number of users each of whom waits for the reply before the next request. Latency is shown from the intended "
        "start of each request. No prompt repeats, so no cache can answer, unless --same-prompt asks for one.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    option = parser.add_argument
    option(
        "urls",
        metavar="URL",
        nargs="+",
        help=f"where to; several take turns; without a path, {DEFAULT_PATH} is added",
    )
    load = parser.add_mutually_exclusive_group(required=True)
    load.add_argument("--rate", type=float, metavar="R", help="open loop: requests a second")
    load.add_argument("--users", type=int, metavar="N", help="closed loop: how many users")
    option("--think", type=float, metavar="S", help="seconds that each user waits after a reply (0)")
    option("--duration", type=float, required=True, metavar="S", help="seconds of the window that is reported")
    option(
        "--warm-up",
        type=float,
        default=DEFAULT_WARM_UP_S,
        metavar="S",
        help="seconds of load before the window, not reported (%(default)g)",
    )
    option(
        "--tail",
        type=float,
        default=DEFAULT_TAIL_S,
        metavar="S",
        help="seconds after the window in which its replies may still come (%(default)g)",
    )
    option(
        "--arrivals",
        choices=get_args(Arrivals),
        help="of --rate: evenly spaced requests, or random gaps as of users who do not know of each other (constant)",
    )
    option("--model", default=DEFAULT_MODEL, metavar="M", help="the model to ask for (%(default)s)")
    option("--same-prompt", action="store_true", help="send one prompt again and again, which a cache may answer")
    option("--stream", action="store_true", help="ask for streams, and show first tokens and gaps between chunks")
    option("--api-key-env", metavar="NAME", help="the environment variable that holds the API key")
    option(
        "--payload-bytes",
        type=int,
        metavar="N",
        help="length of each prompt (default: LiteLLM's published prompt, 16,350 bytes)",
    )
    option("--seed", type=int, default=0, metavar="N", help="of the random gaps (%(default)s)")
    option(
        "--in-flight-cap",
        type=int,
        default=DEFAULT_IN_FLIGHT_CAP,
        metavar="N",
        help="most requests in flight at once; what comes beyond is an error of the gateway (%(default)s)",
    )
    option(
        "--connections",
        type=int,
        default=0,
        metavar="N",
        help="open N connections to each URL beforehand and use them in turn, so that of several workers behind one "
        "address all get their share (default: open them as they are needed)",
    )
    option("--cpus", metavar="LIST", help="cores for the generator, such as 1 or 0,2-3 (default: any)")
    option("--json", type=Path, metavar="FILE", help="write everything here too")
    parser.set_defaults(run=run_load)


def run_load(options: argparse.Namespace) -> ExitCode:
    """Run the load that the options describe, and print its summary.

    Raises:
        BadInput: an option cannot be used; nothing was sent.
        StackFailed: the target was not reachable, the generator died, or the JSON file could not be written.
    """
    job = job_of(options)
    if options.json is not None:
        _check_file(options.json)
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    with Generator() as generator, _progress(job) as on_event:
        result = generator.run(job, on_event=on_event)
    print("\n".join(summary_lines(job, result)))
    if options.json is not None:
        version = importlib.metadata.version("perfgate")
        _write_json(options.json, summary_json(job, result, started_at=started_at, perfgate_version=version))
    return worst(_codes(result))


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise BadInput(f"--json {path}: that is a folder; name a file in it")
    if not path.parent.is_dir():
        raise BadInput(f"--json {path}: the folder {path.parent} does not exist; create it first")


def _codes(result: LoadResult) -> Iterator[ExitCode]:
    if not was_fit(result):
        yield ExitCode.INVALID
    if was_fit(result) and not result.sent:  # a closed loop, and its generator line says why
        print("error: not one request was sent within the window", file=sys.stderr)
        yield ExitCode.STACK_FAILED
    elif result.sent and not result.succeeded:
        print("error: not one request succeeded; the errors above say why", file=sys.stderr)
        yield ExitCode.STACK_FAILED


def job_of(options: argparse.Namespace) -> LoadJob:
    """The load that the options describe.

    Raises:
        BadInput: one cannot be used.
    """
    api_key = _api_key(options.api_key_env)
    try:
        targets = tuple(Target(_with_path(url), options.model, api_key) for url in options.urls)
    except ValueError as error:
        raise BadInput(f"{error}; write http://HOST:PORT or https://HOST/PATH") from error
    try:
        return LoadJob(
            targets=targets,
            schedule=_schedule(options),
            seed=options.seed,
            payload_bytes=options.payload_bytes,
            in_flight_cap=options.in_flight_cap,
            cpus=() if options.cpus is None else parse_cpus(options.cpus),
            stream=options.stream,
            same_prompt=options.same_prompt,
            connections=options.connections,
        )
    except ValueError as error:
        text = str(error)
        for field, option in _OPTION_OF_FIELD.items():
            text = text.replace(f"{field}=", f"{option} ")
        raise BadInput(f"{text}; `perfgate load --help` explains every option") from error


def _schedule(options: argparse.Namespace) -> Schedule:
    if options.users is None:
        if options.think is not None:
            raise BadInput("--think goes with --users: requests at a --rate wait for no one")
        return OpenLoop(
            offered_rps=options.rate,
            warm_up_s=options.warm_up,
            window_s=options.duration,
            tail_s=options.tail,
            arrivals=options.arrivals or "constant",
        )
    if options.arrivals is not None:
        raise BadInput("--arrivals goes with --rate: the replies decide when --users send")
    return ClosedLoop(
        users=options.users,
        warm_up_s=options.warm_up,
        window_s=options.duration,
        tail_s=options.tail,
        think_time_s=options.think or 0,
    )


def _with_path(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url  # Target says what is wrong with it
    return url if parts.path not in ("", "/") else urlunsplit(parts._replace(path=DEFAULT_PATH))


def _api_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    if variable not in os.environ:
        raise BadInput(f"--api-key-env {variable}: that variable is not set; `export {variable}=...` first")
    try:
        check_api_key(os.environ[variable])
    except ValueError as error:
        raise BadInput(f"--api-key-env {variable}: {error}; export the bare key") from error
    return os.environ[variable]


def parse_cpus(text: str) -> tuple[int, ...]:
    """The cores in a list as taskset takes it.

    Raises:
        BadInput: not such a list, or a core that this process may not use.

    >>> parse_cpus("0")
    (0,)
    """
    usable = os.sched_getaffinity(0)
    cpus: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            cores = range(int(first), int(last if dash else first) + 1)
        except ValueError:
            raise BadInput(f"--cpus {text}: {part!r} is neither a core nor a range; write 1 or 0,2-3") from None
        if not cores or len(cores) > len(usable) or not usable.issuperset(cores):
            raise BadInput(f"--cpus {text}: this process may use the cores {', '.join(map(str, sorted(usable)))}")
        cpus.update(cores)
    return tuple(sorted(cpus))


@contextmanager
def _progress(job: LoadJob) -> Iterator[Callable[[str], None]]:
    """One changing line on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda event: None
        return
    schedule = job.schedule
    load = (
        f"of {schedule.users:,} users"
        if isinstance(schedule, ClosedLoop)
        else f"at {schedule.offered_rps:g} requests/s"
    )
    phases = {
        "window_opened": f"window: {schedule.window_s:g} s {load}",
        "window_closed": f"waiting for the last replies, at most {schedule.tail_s:g} s",
        "drained": "counting",
    }
    with console.status(f"warm-up: {schedule.warm_up_s:g} s", refresh_per_second=2) as status:
        yield lambda event: status.update(phases[event])


def _write_json(path: Path, document: dict[str, Any]) -> None:
    """Write the whole file or none of it."""
    try:
        write_atomically(path, json.dumps(document, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise StackFailed(
            f"--json {path} could not be written: {error.strerror}; the result above is complete"
        ) from error
