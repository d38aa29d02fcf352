"""Which backend a run takes, and what is said where there is no engine; no engine is needed for these."""

import os
import socket
from pathlib import Path

import pytest
import requests
from docker.errors import APIError
from testcontainers.core.docker_client import DockerClient

from perfgate.exit_codes import ExitCode
from perfgate.stack import engine
from perfgate.stack.engine import EngineFacts, EngineGone, EngineRefused, NoEngine, StackChoice, choose_stack

FACTS = EngineFacts("28.2.2", "unix:///var/run/docker.sock", 4, 16 << 30, "2", "overlay2", "Ubuntu 24.04")


def no_engine() -> EngineFacts:
    raise NoEngine(
        "no Docker engine answers at X (refused): start one, or name it in DOCKER_HOST; --stack=processes needs none"
    )


def never() -> EngineFacts:
    raise AssertionError("nobody should look")


def test_auto_takes_containers_where_an_engine_answers_and_says_which() -> None:
    expected = StackChoice("containers", "Docker 28.2.2 answers at unix:///var/run/docker.sock")
    assert choose_stack("auto", lambda: FACTS) == expected


def test_auto_takes_processes_where_none_does_and_says_why() -> None:
    why = "no Docker engine answers at X (refused): start one, or name it in DOCKER_HOST"
    assert choose_stack("auto", no_engine) == StackChoice("processes", why)


def test_what_is_asked_for_is_taken() -> None:
    assert choose_stack("processes", never) == StackChoice("processes", "asked for")
    containers = choose_stack("containers", lambda: FACTS)
    assert containers == StackChoice("containers", "asked for; Docker 28.2.2 answers at unix:///var/run/docker.sock")


def test_containers_without_an_engine_are_bad_input() -> None:
    with pytest.raises(NoEngine) as caught:
        choose_stack("containers", no_engine)
    assert caught.value.exit_code is ExitCode.BAD_INPUT


def test_a_socket_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(NoEngine) as caught:
        engine.engine_facts()
    assert str(caught.value) == (
        f"no Docker engine answers at unix://{tmp_path}/none.sock (No such file or directory): start one, or name it "
        "in DOCKER_HOST; --stack=processes needs none"
    )


def test_an_address_that_nobody_listens_at_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:  # bound, and nobody listens
        held.bind(("127.0.0.1", 0))
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{held.getsockname()[1]}")
        with pytest.raises(
            NoEngine, match=r"no Docker engine answers at tcp://127\.0\.0\.1:\d+ \(Connection refused\)"
        ):
            engine.engine_facts()


def test_a_socket_that_we_may_not_use_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> DockerClient:
        raise requests.ConnectionError(PermissionError(13, "Permission denied"))

    monkeypatch.setattr(engine, "DockerClient", refuse)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    with pytest.raises(NoEngine) as caught:
        engine.connected()
    assert str(caught.value) == (
        "you may not use the Docker engine at unix:///var/run/docker.sock: join the group docker, or be root; "
        "--stack=processes needs none"
    )


class FakeClient:
    """An engine that says of itself what it was told to."""

    def __init__(self, **info: object) -> None:
        self.client = self.api = self
        self.adapters: dict[str, object] = {}
        self.base_url = "tcp://elsewhere"
        self._info = {
            "ServerVersion": "28.2.2",
            "NCPU": 4,
            "MemTotal": 1,
            "Driver": "overlay2",
            "OperatingSystem": "Docker Desktop",
            **info,
        }

    def info(self) -> dict[str, object]:
        return self._info

    def close(self) -> None:
        pass


def test_an_engine_on_another_kernel_cannot_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "connected", lambda timeout_s: FakeClient(KernelVersion="6.10.14-linuxkit"))
    with pytest.raises(NoEngine) as caught:
        engine.engine_facts()
    assert str(caught.value) == (
        "the Docker engine at tcp://elsewhere (Docker Desktop, kernel 6.10.14-linuxkit) runs on another machine or in "
        f"a virtual one (kernel here: {os.uname().release}): what its containers use cannot be measured from here; "
        "--stack=processes needs none"
    )


def test_an_engine_on_this_kernel_tells_its_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeClient(KernelVersion=os.uname().release, CgroupVersion="2")
    monkeypatch.setattr(engine, "connected", lambda timeout_s: client)
    assert engine.engine_facts() == EngineFacts("28.2.2", "tcp://elsewhere", 4, 1, "2", "overlay2", "Docker Desktop")


def test_an_engine_that_refuses_is_quoted() -> None:
    with pytest.raises(EngineRefused) as caught, engine.engine_errors(FakeClient(), "asking for the moon"):  # type: ignore[arg-type]
        raise APIError("500 Server Error", explanation="no such\nmoon")
    assert str(caught.value) == "the Docker engine refused, while asking for the moon: no such moon"
    assert caught.value.exit_code is ExitCode.STACK_FAILED


def test_an_engine_that_is_gone_is_told_from_one_that_refuses() -> None:
    with pytest.raises(EngineGone) as caught, engine.engine_errors(FakeClient(), "asking for the moon"):  # type: ignore[arg-type]
        raise requests.ConnectionError("aborted", FileNotFoundError(2, "No such file or directory"))
    assert str(caught.value) == (
        "the Docker engine at tcp://elsewhere does not answer any more, while asking for the moon (No such file "
        "or directory). Start it again (its own log says why it ended; `journalctl -u docker` on most hosts); the next "
        "run removes what this one leaves behind"
    )
    assert caught.value.exit_code is ExitCode.STACK_FAILED


@pytest.mark.parametrize("late", [requests.ReadTimeout, requests.ConnectTimeout])
def test_an_engine_that_hangs_is_said_to_have_given_no_answer_in_time(late: type[requests.Timeout]) -> None:
    with pytest.raises(EngineGone) as caught, engine.engine_errors(FakeClient(), "asking for the moon"):  # type: ignore[arg-type]
        raise late("HTTPConnectionPool(host='localhost'): Read timed out", TimeoutError(110, "Connection timed out"))
    assert f"while asking for the moon (no answer within {engine.ANSWER_TIMEOUT_S} s). Start it" in str(caught.value)
