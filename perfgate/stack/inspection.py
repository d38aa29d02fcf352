"""What runs inside a service that is up, and in what do two of them differ?

Comes in: a `RunningService`, and what it was started from. Goes out: `ServiceFacts`, for the record, and sentences
about two of them.

Event loop and HTTP parser are read from the memory maps of its processes: what was loaded, not what was installed.
Those of another user's processes, as containers have them, only root may read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, Self

import psutil

from perfgate.stack.backend import RunningService
from perfgate.stack.packages import Packages

Server = Literal["uvicorn", "gunicorn", "granian"]

#: `127.0.0.1:40312 - "POST /v1/chat/completions HTTP/1.1" 200 OK`
_ACCESS_LINE: Final = re.compile(r'"(GET|POST) \S+ HTTP/1\.[01]"')
#: The lines of the readiness checks are among the first.
_ACCESS_LOG_BYTES: Final = 1_000_000
#: Of packages that differ, so many are named; releases a year apart differ in most of theirs.
SHOWN_PACKAGES: Final = 8


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What changes a service's figures though its release stays the same.

    Args:
        python_version: `3.12.7`.
        packages: all that is installed where it runs from.
        event_loop: `uvloop` when one of its processes has loaded it; None when this user may not look into them.
        http_parser: `httptools` when one of its processes has loaded it; None likewise.
        server: as asked for.
        access_log: whether its log has a line for each request.
        workers: as asked for.
    """

    python_version: str
    packages: Packages
    event_loop: Literal["uvloop", "asyncio"] | None
    http_parser: Literal["httptools", "h11"] | None
    server: Server
    access_log: bool
    workers: int

    @classmethod
    def of_record(cls, facts: Mapping[str, Any]) -> Self:
        """The facts again that a record holds; what else it holds of the service is left out."""
        known = {field.name: facts[field.name] for field in fields(cls)}
        return cls(**{**known, "packages": Packages(tuple(facts["packages"]["listed"]))})


def service_facts(
    running: RunningService, *, python_version: str, packages: Packages, workers: int = 1, server: Server = "uvicorn"
) -> ServiceFacts:
    """Look into a service that is up; it has answered its readiness checks, so a log of requests would show them.

    Args:
        running: the service.
        python_version: of the environment it runs from.
        packages: of the environment it runs from.
        workers: as asked for.
        server: as asked for.
    """
    loaded = _shared_objects(running.pid)
    return ServiceFacts(
        python_version=python_version,
        packages=packages,
        event_loop=None if loaded is None else "uvloop" if "uvloop" in loaded else "asyncio",
        http_parser=None if loaded is None else "httptools" if "httptools" in loaded else "h11",
        server=server,
        access_log=_has_access_lines(running.log_path),
        workers=workers,
    )


def differences_in_words(first: ServiceFacts, second: ServiceFacts, names: tuple[str, str] = ("A", "B")) -> list[str]:
    """One sentence for everything in which two services differ, what changes figures most at the top.

    Args:
        first, second: the services.
        names: what they are called.

    Returns:
        Such as `httptools 0.7.1 is installed in A only: uvicorn parses HTTP with httptools in A, with h11 in B`; empty
        when they do not differ. What is not known of one of them is no difference.
    """
    a, b = names
    packages = {
        difference.name: difference.in_words(a, b) for difference in first.packages.differences(second.packages)
    }
    said = []
    for package, here, there, effect in (
        ("httptools", first.http_parser, second.http_parser, f"uvicorn parses HTTP with %s in {a}, with %s in {b}"),
        ("uvloop", first.event_loop, second.event_loop, f"the event loop is %s in {a}, %s in {b}"),
    ):
        if None not in (here, there) and here != there:
            cause = packages.pop(package, None)
            said.append(f"{cause}: {effect % (here, there)}" if cause else effect % (here, there))
    for what, of_first, of_second in (
        ("Python", first.python_version, second.python_version),
        ("the server", first.server, second.server),
        ("the number of workers", first.workers, second.workers),
        ("the access log", _on(first.access_log), _on(second.access_log)),
    ):
        if of_first != of_second:
            said.append(f"{what} is {of_first} in {a}, {of_second} in {b}")
    said += list(packages.values())[:SHOWN_PACKAGES]
    if len(packages) > SHOWN_PACKAGES:
        said.append(f"{len(packages) - SHOWN_PACKAGES} more packages differ; the record lists them all")
    return said


def _on(value: bool) -> str:
    return "on" if value else "off"


def _shared_objects(pid: int) -> set[str] | None:
    """The packages whose shared objects the process tree has mapped; None when this user may not see that."""
    packages: set[str] = set()
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        try:
            maps = Path(f"/proc/{process.pid}/maps").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # a helper that has just ended
        except PermissionError:
            return None
        packages.update(re.findall(r"/site-packages/([^/\s]+)/\S*\.so", maps))
    return packages


def _has_access_lines(log_path: Path) -> bool:
    with log_path.open(errors="replace") as log:
        return _ACCESS_LINE.search(log.read(_ACCESS_LOG_BYTES)) is not None
