"""Does a service do what backend.py promises, whichever backend runs it? No test here knows which one does."""

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
import psutil
import pytest

from perfgate.errors import StackFailed
from perfgate.stack.backend import RunningService, StackBackend
from perfgate.stack.processes import SHOWN_ANSWER_CHARS, DiedAtStart, ServiceDied, StartTooLate
from perfgate.stack.readiness import HttpCheck
from tests.harness.stack.conftest import BURNS, PATIENCE_S, SERVER, Toy, eventually, pids_with_argument

if TYPE_CHECKING:  # both keep to the interface, to the last argument
    from perfgate.stack.containers import ContainerBackend, ContainerRunning
    from perfgate.stack.processes import ProcessBackend, Running

    def _backends(processes: ProcessBackend, containers: ContainerBackend) -> tuple[StackBackend, ...]:
        return processes, containers

    def _services(process: Running, container: ContainerRunning) -> tuple[RunningService, ...]:
        return process, container


pytestmark = pytest.mark.slow

SECRET: Final = "sk-s3cret"
#: What a process prints first, and then it serves.
SAYS: Final = "print('{}', flush=True)\n" + SERVER
FAILS: Final = f"print('reading the configuration'); print('bad key {SECRET}', flush=True); raise SystemExit(1)"
#: Says what it is asked for, and does not serve.
STUCK: Final = f"import time; print('connecting with {SECRET}', flush=True); time.sleep(9999)"
#: Two processes with a second thread each.
FAMILY: Final = """
import os, threading, time
is_child = os.fork() == 0
threading.Thread(target=time.sleep, args=(9999,), daemon=True).start()
if is_child:
    time.sleep(9999)
"""
#: Answers with what its neighbour answers.
PASSES_ON: Final = """
import os, urllib.request
os.environ["TOY_ANSWER"] = urllib.request.urlopen(os.environ["NEIGHBOUR"] + "/health").read().decode()
"""
READS_ITS_FILE: Final = """
import os, pathlib
os.environ["TOY_ANSWER"] = pathlib.Path(os.environ["TOY_FOLDER"], "greeting").read_text() + os.environ["NAME"]
"""


def answer_of(service: RunningService) -> str:
    return httpx.get(f"{service.address.url}/health", trust_env=False).text


def threads_of(service: RunningService) -> set[int]:
    first = psutil.Process(service.pid)
    return {thread.id for process in [first, *first.children(recursive=True)] for thread in process.threads()}


def test_a_service_runs_at_an_address_of_its_own_until_it_is_stopped(backend: StackBackend) -> None:
    one, other = (backend.start(Toy(SERVER, env={"TOY_ANSWER": name})) for name in ("one", "other"))
    assert (answer_of(one), answer_of(other)) == ("one", "other")
    assert one.is_alive
    one.check_alive()
    one.stop()
    one.stop()
    assert (one.is_alive, other.is_alive, answer_of(other)) == (False, True, "other")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{one.address.url}/health", trust_env=False, timeout=1)
    with pytest.raises(ServiceDied, match=r"^toy .* while it was in use"):
        one.check_alive()
    other.stop()


@pytest.mark.parametrize("error", [None, KeyError])
def test_running_ends_with_its_context_whatever_ends_that(backend: StackBackend, error: type[Exception] | None) -> None:
    try:
        with backend.running(Toy(SERVER)) as service:
            assert service.is_alive
            if error is not None:
                raise error
    except KeyError:
        pass
    assert not service.is_alive


def test_several_are_stopped_at_once_and_twice_does_no_harm(backend: StackBackend) -> None:
    services = [backend.start(Toy(SERVER)) for _ in range(2)]
    backend.stop(services)
    assert [service.is_alive for service in services] == [False, False]
    backend.stop(services)
    backend.stop([])


def test_a_service_has_its_files_and_its_variables(backend: StackBackend) -> None:
    check = HttpCheck("its greeting", "/health", contains=("hello, toy",))
    toy = Toy(READS_ITS_FILE + SERVER, texts={"greeting": "hello, "}, env={"NAME": "toy"}, check=check)
    with backend.running(toy) as service:
        assert answer_of(service) == "hello, toy"


def test_others_of_its_backend_reach_it_at_its_inner_address(backend: StackBackend) -> None:
    with backend.running(Toy(SERVER, env={"TOY_ANSWER": "from afar"})) as far:
        near = Toy(PASSES_ON + SERVER, name="near", env={"NEIGHBOUR": far.inner_address.url})
        with backend.running(near) as service:
            assert answer_of(service) == "from afar"


def test_it_keeps_to_its_cores_and_all_of_its_threads_to_others_when_told_so(backend: StackBackend) -> None:
    first, *_, last = sorted(os.sched_getaffinity(0)) * 2
    with backend.running(Toy(FAMILY + SERVER), cpus=(first,)) as service:
        assert service.cpus == (first,)
        assert eventually(lambda: len(threads_of(service)) == 4)
        assert {frozenset(os.sched_getaffinity(thread)) for thread in threads_of(service)} == {frozenset({first})}
        service.pin((last,))
        service.pin(())
        assert service.cpus == (last,)
        assert {frozenset(os.sched_getaffinity(thread)) for thread in threads_of(service)} == {frozenset({last})}


def test_what_its_children_burn_is_its_use_and_nobody_else_s(backend: StackBackend) -> None:
    with backend.running(Toy(BURNS + SERVER)) as burner, backend.running(Toy(SERVER)) as idler:
        burnt_before, idle_before = burner.use(), idler.use()
        assert eventually(lambda: burner.use().cpu_s_since(burnt_before) > 0.5)
        burnt, idle = burner.use(), idler.use()
        assert idle.cpu_s_since(idle_before) < burnt.cpu_s_since(burnt_before) / 5
        assert burnt.taken_mono_s > burnt_before.taken_mono_s
        assert burnt.rss_bytes > 1_000_000
        assert 0 < burnt.resolution_ms <= 10
        with pytest.raises(StackFailed):
            burnt.cpu_s_since(idle_before)
    with pytest.raises(StackFailed, match="gone"):
        burner.use()


def test_dead_has_the_status_the_question_the_log_and_no_secret(backend: StackBackend) -> None:
    with pytest.raises(DiedAtStart) as caught:
        backend.start(Toy(FAILS, secrets=[SECRET]))
    lines = [line for line in str(caught.value).splitlines() if not line.startswith("  image ")]
    assert re.fullmatch(r"toy \(.*\) ended with status 1 \d+\.\d s after its start, before it was ready", lines[0])
    assert re.fullmatch(r"  waited for   its health \(GET http://[\d.]+:\d+/health\)", lines[1])
    assert lines[2].startswith("  last answer  no connection")
    kept = re.fullmatch(r"  log          last 2 lines of (.*/kept/toy-\d+\.log)", lines[3])
    assert lines[4:] == ["    | reading the configuration", "    | bad key ***"]
    assert kept is not None
    assert Path(kept[1]).read_text() == "reading the configuration\nbad key ***\n"


def test_late_has_the_deadline_the_log_and_no_secret_and_is_ended(backend: StackBackend, tmp_path: Path) -> None:
    program = f"{STUCK}  # {tmp_path}"
    with pytest.raises(StartTooLate) as caught:
        backend.start(Toy(program, secrets=[SECRET], start_deadline_s=0.5))
    first, *_, last = str(caught.value).splitlines()
    assert re.fullmatch(
        r"toy \(.*\) still runs \d+\.\d s after its start, but is not ready; its deadline is 0\.5 s", first
    )
    assert last == "    | connecting with ***"
    assert eventually(lambda: pids_with_argument(program) == set())


def test_a_long_answer_is_cut_after_its_secrets_are_masked(backend: StackBackend) -> None:
    answer = "x" * (SHOWN_ANSWER_CHARS - 20) + SECRET + "y" * 100
    toy = Toy(SERVER, env={"TOY_ANSWER": answer, "TOY_STATUS": "500"}, secrets=[SECRET], start_deadline_s=3)
    with pytest.raises(StartTooLate) as caught:
        backend.start(toy)
    (line,) = [line for line in str(caught.value).splitlines() if "last answer" in line]
    assert re.fullmatch(r"  last answer  status 500: x+\*\*\*y* …", line)


def test_a_service_without_a_word_has_an_empty_log(backend: StackBackend) -> None:
    with pytest.raises(DiedAtStart, match=r"\n  log          empty$"):
        backend.start(Toy("raise SystemExit(3)"))


def test_a_death_in_use_says_how_and_shows_the_log(backend: StackBackend) -> None:
    with backend.running(Toy(SAYS.format(f"serving with {SECRET}"), secrets=[SECRET])) as service:
        assert eventually(lambda: service.log_tail()[:1] == ("serving with ***",))
        assert service.log_path.is_relative_to(service.folder)
        os.kill(service.pid, signal.SIGKILL)
        assert eventually(lambda: not service.is_alive, PATIENCE_S)
        with pytest.raises(ServiceDied) as caught:
            service.check_alive()
    first, *rest = str(caught.value).splitlines()
    assert re.match(r"toy \(.*\) was killed by signal 9 \(SIGKILL\) while it was in use", first)
    assert "    | serving with ***" in rest
