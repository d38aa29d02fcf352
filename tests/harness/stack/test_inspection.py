"""Is what runs inside a service read from the service itself?"""

from typing import Final

import pytest

from perfgate.stack.inspection import service_facts
from perfgate.stack.mock import Mock
from perfgate.stack.packages import Packages
from perfgate.stack.processes import ProcessBackend, Running
from perfgate.stack.supervision import Supervisor
from tests.harness.stack.conftest import SERVER, Toy

pytestmark = pytest.mark.slow

PACKAGES: Final = Packages(("a==1",))
#: A child of the service loads them, as a worker does.
IN_A_CHILD: Final = """
import os, time
if os.fork() == 0:
    import uvloop, httptools
    print("loaded", flush=True)
    time.sleep(9999)
while "loaded" not in open("log").read():
    pass
"""


def loaded(running: Running) -> tuple[str, str, bool]:
    facts = service_facts(running, python_version="3.12.7", packages=PACKAGES)
    return facts.event_loop, facts.http_parser, facts.access_log


@pytest.mark.parametrize(
    ("program", "facts"),
    [
        (SERVER.replace("def do_GET", "log_message = lambda *_: None\n    def do_GET"), ("asyncio", "h11", False)),
        (IN_A_CHILD + SERVER, ("uvloop", "httptools", True)),
    ],
    ids=["plain", "in_a_child_with_access_log"],
)
def test_what_is_loaded_is_read_from_the_process_tree(
    supervisor: Supervisor, program: str, facts: tuple[str, str, bool]
) -> None:
    assert loaded(ProcessBackend(supervisor).start(Toy(program))) == facts


def test_the_mock_runs_as_it_is_meant_to(supervisor: Supervisor) -> None:
    assert loaded(ProcessBackend(supervisor).start(Mock())) == ("uvloop", "httptools", False)


def test_what_was_asked_for_is_passed_on(supervisor: Supervisor) -> None:
    running = ProcessBackend(supervisor).start(Toy(SERVER))
    facts = service_facts(running, python_version="3.12.7", packages=PACKAGES, workers=4, server="granian")
    assert (facts.python_version, facts.packages, facts.workers, facts.server) == ("3.12.7", PACKAGES, 4, "granian")
