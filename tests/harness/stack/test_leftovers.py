"""What is swept and what is left alone; no engine is needed for these. test_containers.py kills a real run."""

import os
from pathlib import Path
from typing import Any

import pytest
import requests
from docker.errors import APIError, NotFound

from perfgate.stack import leftovers
from perfgate.stack.engine import EngineRefused
from perfgate.stack.leftovers import HOST_LABEL, PID_LABEL, RUN_LABEL, STARTED_LABEL, own_labels, sweep


class FakeEngine:
    """An engine with containers and networks of several runs; notes what is removed."""

    def __init__(self) -> None:
        self.client = self.api = self
        self.removed: list[str] = []
        self._containers: list[dict[str, Any]] = []
        self._networks: list[dict[str, Any]] = []
        #: What the engine answers, one after the other, before it removes anything.
        self.refusals: list[int] = []

    def add(self, name: str, state: str = "running", **labels: str) -> None:
        """A run with one container and one network."""
        self._containers.append({"Id": f"{name}-container", "State": state, "Labels": {RUN_LABEL: name, **labels}})
        self._networks.append({"Id": f"{name}-network", "Labels": {RUN_LABEL: name, **labels}})

    def containers(self, **_: object) -> list[dict[str, Any]]:
        return self._containers

    def networks(self, **_: object) -> list[dict[str, Any]]:
        return self._networks

    def remove_container(self, container_id: str, **options: object) -> None:
        assert options == {"v": True, "force": True}
        self._remove(container_id)

    def remove_network(self, network_id: str) -> None:
        self._remove(network_id)

    def _remove(self, name: str) -> None:
        if self.refusals:
            response = requests.Response()
            response.status_code = self.refusals.pop(0)
            kind = NotFound if response.status_code == 404 else APIError
            raise kind(f"{name}: {response.status_code}", response)
        self.removed.append(name)


def this_host() -> str:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot_id}/{Path('/proc/self/ns/pid').readlink()}"


def labels(pid: int, started: str, host: str) -> dict[str, str]:
    return {PID_LABEL: str(pid), STARTED_LABEL: started, HOST_LABEL: host}


def started(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def swept(engine: FakeEngine) -> str:
    return sweep(engine)  # type: ignore[arg-type]


def test_what_a_dead_process_has_left_is_swept_and_said() -> None:
    engine = FakeEngine()
    engine.add("dead", **labels(2**22 + 1, "1", this_host()))  # beyond the largest PID there can be
    assert swept(engine) == "1 container and 1 network"
    assert engine.removed == ["dead-container", "dead-network"]


@pytest.mark.parametrize(
    ("refusals", "removed"),
    [
        ([409, 409], ["dead-container", "dead-network"]),
        ([409, 404], ["dead-network"]),
        ([404, 403, 404], []),
        ([404, 403], ["dead-network"]),
    ],
    ids=["a container not yet", "a container gone by now", "a network gone by now", "a network not yet"],
)
def test_what_another_run_is_sweeping_too_is_waited_for(refusals: list[int], removed: list[str]) -> None:
    engine = FakeEngine()
    engine.add("dead", **labels(2**22 + 1, "1", this_host()))
    engine.refusals = refusals
    assert swept(engine) == "1 container and 1 network"
    assert engine.removed == removed
    assert engine.refusals == []


@pytest.mark.parametrize("refusal", [409, 500])
def test_what_cannot_be_removed_is_said(refusal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "REMOVAL_S", 0.0)
    engine = FakeEngine()
    engine.add("dead", **labels(2**22 + 1, "1", this_host()))
    engine.refusals = [refusal] * 2
    with pytest.raises(EngineRefused, match=r"while removing the container dead-contain: .*"):
        swept(engine)


def test_what_belongs_to_a_living_process_is_left_alone() -> None:
    engine = FakeEngine()
    engine.add("alive", **labels(os.getpid(), started(os.getpid()), this_host()))
    assert swept(engine) == ""
    assert engine.removed == []


def test_a_pid_that_another_process_has_by_now_does_not_keep_leftovers() -> None:
    engine = FakeEngine()
    engine.add("dead", **labels(os.getpid(), "1", this_host()))
    assert swept(engine) == "1 container and 1 network"


@pytest.mark.parametrize(
    ("host", "state", "words"),
    [
        ("another-boot/pid:[4026531836]", "running", ""),  # of another host that shares this engine
        ("another-boot/pid:[4026531836]", "exited", "1 container and 1 network"),  # of this host, before it restarted
        (this_host().partition("/")[0] + "/pid:[1]", "exited", ""),  # of a container whose processes we do not see
    ],
    ids=["another host's", "another boot's", "another namespace's"],
)
def test_of_processes_that_cannot_be_seen_only_another_boot_s_remains_are_swept(
    host: str, state: str, words: str
) -> None:
    engine = FakeEngine()
    engine.add("other", state, **labels(2**22 + 1, "1", host))
    assert swept(engine) == words


def test_every_run_of_a_process_has_a_label_of_its_own_and_the_process_in_common() -> None:
    first, second = own_labels(), own_labels()
    assert first.pop(RUN_LABEL) != second.pop(RUN_LABEL)
    assert first == second == labels(os.getpid(), started(os.getpid()), this_host())
