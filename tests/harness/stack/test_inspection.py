"""Is what runs inside a service read from the service itself, and is a difference said in words?"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import pytest

from perfgate.stack.backend import RunningService, StackBackend
from perfgate.stack.inspection import SHOWN_PACKAGES, ServiceFacts, differences_in_words, service_facts
from perfgate.stack.mock import Mock
from perfgate.stack.packages import Packages
from perfgate.stack.processes import ProcessBackend
from tests.harness.stack.conftest import SERVER, Toy, eventually

PACKAGES: Final = Packages(("a==1",))
#: A child of the service loads them, as a worker does.
IN_A_CHILD: Final = """
import os, time
loaded, loads = os.pipe()
if os.fork() == 0:
    import uvloop, httptools
    os.write(loads, b"done")
    time.sleep(9999)
os.read(loaded, 4)
"""


def loaded(running: RunningService) -> tuple[str | None, str | None, bool]:
    facts = service_facts(running, python_version="3.12.7", packages=PACKAGES)
    return facts.event_loop, facts.http_parser, facts.access_log


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "facts"),
    [
        (SERVER.replace("def do_GET", "log_message = lambda *_: None\n    def do_GET"), ("asyncio", "h11", False)),
        (IN_A_CHILD + SERVER, ("uvloop", "httptools", True)),
    ],
    ids=["plain", "in_a_child_with_access_log"],
)
def test_what_is_loaded_is_read_from_the_process_tree(
    backend: StackBackend, program: str, facts: tuple[str, str, bool]
) -> None:
    with backend.running(Toy(program)) as running:
        # What a container writes takes its time to come into its log.
        assert eventually(lambda: loaded(running) == facts)


@pytest.mark.slow
def test_the_mock_runs_as_it_is_meant_to(backend: StackBackend) -> None:
    with backend.running(Mock()) as mock:
        assert loaded(mock) == ("uvloop", "httptools", False)


@pytest.mark.slow
def test_what_was_asked_for_is_passed_on(backend: StackBackend) -> None:
    with backend.running(Toy(SERVER)) as running:
        facts = service_facts(running, python_version="3.12.7", packages=PACKAGES, workers=4, server="granian")
    assert (facts.python_version, facts.packages, facts.workers, facts.server) == ("3.12.7", PACKAGES, 4, "granian")


@pytest.mark.slow
def test_of_processes_that_this_user_may_not_look_into_only_the_rest_is_said(
    processes: ProcessBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_text

    def of_another_user(path: Path, *arguments: str | None, **others: str | None) -> str:
        if path.name == "maps":
            raise PermissionError(13, "Permission denied")
        return read(path, *arguments, **others)

    with processes.running(Mock()) as mock:
        monkeypatch.setattr(Path, "read_text", of_another_user)
        assert loaded(mock) == (None, None, False)


FACTS: Final = ServiceFacts(
    "3.12.7", Packages(("httptools==0.7.1", "uvloop==0.21.0")), "uvloop", "httptools", "uvicorn", False, 1
)


class TestDifferences:
    def test_equal_services_do_not_differ(self) -> None:
        assert differences_in_words(FACTS, FACTS) == []

    def test_a_package_that_decides_how_requests_are_parsed_is_said_with_its_effect(self) -> None:
        without = replace(FACTS, packages=Packages(("uvloop==0.21.0",)), http_parser="h11")
        assert differences_in_words(FACTS, without) == [
            "httptools 0.7.1 is installed in A only: uvicorn parses HTTP with httptools in A, with h11 in B"
        ]
        assert differences_in_words(without, FACTS, ("old", "new")) == [
            "httptools 0.7.1 is installed in new only: uvicorn parses HTTP with h11 in old, with httptools in new"
        ]

    def test_a_version_that_changes_no_parser_is_said_without_an_effect(self) -> None:
        other = replace(FACTS, packages=Packages(("httptools==0.8.0", "uvloop==0.21.0")))
        assert differences_in_words(FACTS, other) == ["httptools is 0.7.1 in A, 0.8.0 in B"]

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"event_loop": "asyncio"}, "the event loop is uvloop in A, asyncio in B"),
            ({"http_parser": "h11"}, "uvicorn parses HTTP with httptools in A, with h11 in B"),
            ({"python_version": "3.11.7"}, "Python is 3.12.7 in A, 3.11.7 in B"),
            ({"server": "granian"}, "the server is uvicorn in A, granian in B"),
            ({"workers": 4}, "the number of workers is 1 in A, 4 in B"),
            ({"access_log": True}, "the access log is off in A, on in B"),
        ],
    )
    def test_everything_else_is_said_too(self, changes: dict[str, Any], words: str) -> None:
        assert differences_in_words(FACTS, replace(FACTS, **changes)) == [words]

    @pytest.mark.parametrize("changes", [{"event_loop": None}, {"http_parser": None}])
    def test_what_is_not_known_of_one_is_no_difference(self, changes: dict[str, Any]) -> None:
        unknown = replace(FACTS, **changes)
        assert differences_in_words(FACTS, unknown) == []
        assert differences_in_words(unknown, FACTS) == []

    def test_a_package_that_only_one_has_is_said_though_its_effect_is_not_known(self) -> None:
        unknown = replace(FACTS, packages=Packages(("uvloop==0.21.0",)), http_parser=None)
        assert differences_in_words(FACTS, unknown) == ["httptools 0.7.1 is installed in A only"]

    def test_of_many_packages_some_are_named_and_the_rest_counted(self) -> None:
        many = replace(FACTS, packages=Packages((*FACTS.packages.listed, *(f"x{n}==1" for n in range(20)))))
        said = differences_in_words(FACTS, many)
        assert len(said) == SHOWN_PACKAGES + 1
        assert said[-1] == "12 more packages differ; the record lists them all"

    def test_they_can_be_read_back_from_a_record(self) -> None:
        assert ServiceFacts.of_record({**asdict(FACTS), "source": {"words": "x"}}) == FACTS
