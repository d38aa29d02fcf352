"""Is the backend the one that was asked for or that this host has, and is what it cannot give refused beforehand?"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import pytest

from perfgate import backend_choice
from perfgate.backend_choice import ChosenStack, chosen_stack, lacking
from perfgate.errors import BadInput
from perfgate.experiment.arms import DATABASE_POOL_LIMIT
from perfgate.settings import Option, Settings, settings_of
from perfgate.stack.engine import EngineFacts, NoEngine
from perfgate.stack.postgres import CONNECTIONS_MARGIN
from perfgate.stack.processes import free_port
from perfgate.stack.redis import Redis
from perfgate.stack.sources import GitRef

ENGINE: Final = EngineFacts("28.2.2", "unix:///var/run/docker.sock", 64, 2**36, "2", "overlay2", "Debian")
POSTGRES: Final = "postgresql://me:secret@127.0.0.1:5432/litellm"


def settings(options: Mapping[str, str]) -> Settings:
    given = {Option(name, "", "").destination: text for name, text in options.items()}
    return settings_of(given.get, {})


def has_engine() -> EngineFacts:
    return ENGINE


def has_none() -> EngineFacts:
    raise NoEngine("no Docker engine answers; --stack=processes needs none")


def chosen(**options: str) -> ChosenStack:
    return chosen_stack(
        settings({f"--{name.replace('_', '-')}": text for name, text in options.items()}), 2, has_engine
    )


class TestChoice:
    def test_auto_takes_containers_where_an_engine_answers(self) -> None:
        found = chosen()
        assert (found.choice.backend, found.gateway.backend, found.engine) == ("containers", "containers", ENGINE)
        assert found.choice.why == "Docker 28.2.2 answers at unix:///var/run/docker.sock"

    def test_auto_takes_processes_where_none_does_and_says_so(self) -> None:
        found = chosen_stack(settings({}), 2, has_none)
        assert (found.choice.backend, found.gateway.backend, found.engine) == ("processes", "processes", None)
        assert found.choice.why == "no Docker engine answers"

    def test_auto_takes_processes_for_what_no_image_holds(self) -> None:
        found = chosen(with_packages="httptools")
        assert (found.choice.backend, found.engine) == ("processes", None)
        assert found.choice.why == "--with-packages 'httptools' is not in an image of LiteLLM"

    def test_auto_takes_processes_where_only_the_baseline_is_in_no_image(self) -> None:
        asked = settings({"--baseline": "1.79.3"})
        assert asked.baseline is not None
        assert chosen_stack(asked, 2, has_engine).choice.backend == "containers"
        branch = replace(asked.baseline, source=GitRef("https://h/x", "main", "0" * 40))
        found = chosen_stack(replace(asked, baseline=branch), 2, has_engine)
        assert (found.choice.backend, found.gateway.backend, found.engine) == ("processes", "processes", None)
        assert found.choice.why == f"{branch.source} is not in an image of LiteLLM: containers run releases"

    def test_what_is_asked_for_is_taken_or_refused(self) -> None:
        assert chosen(stack="processes").gateway.backend == "processes"
        with pytest.raises(NoEngine):
            chosen_stack(settings({"--stack": "containers"}), 2, has_none)
        with pytest.raises(BadInput, match="--deps today: the dependencies of an image"):
            chosen(stack="containers", deps="today")


class TestLimits:
    def test_they_are_the_gateways(self) -> None:
        gateway = chosen(cpus_per_instance="0.5", memory_per_instance="512m").gateway
        assert (gateway.cpus_per_instance, gateway.memory_per_instance_bytes) == (0.5, 2**29)

    def test_a_host_with_too_few_cores_is_refused(self) -> None:
        with pytest.raises(BadInput, match=r"--cpus-per-instance=4000 needs 4000 cores for 1 instance\(s\)"):
            chosen(cpus_per_instance="4000")

    def test_a_host_with_too_little_memory_for_all_generations_is_refused(self) -> None:
        chosen(memory_per_instance="32g")
        with pytest.raises(BadInput, match=r"--memory-per-instance=33g needs 66.0 GiB for the 2 instance\(s\)"):
            chosen(memory_per_instance="33g")

    def test_processes_cannot_keep_them(self) -> None:
        with pytest.raises(BadInput, match="they need --stack=containers"):
            chosen(stack="processes", cpus_per_instance="1")

    def test_images_that_cannot_be_named_so_are_refused(self) -> None:
        with pytest.raises(BadInput, match="--images=mine"):
            chosen(images="mine")


class TestServices:
    def test_containers_lack_nothing(self) -> None:
        assert lacking(("postgres", "redis"), chosen(), None) is None

    def test_containers_cannot_reach_a_server_on_loopback(self) -> None:
        with pytest.raises(BadInput, match="--postgres-url names a server on loopback, which containers cannot reach"):
            chosen(postgres_url=POSTGRES)

    def test_processes_need_what_this_host_has(self, monkeypatch: pytest.MonkeyPatch) -> None:
        processes = chosen(stack="processes")
        monkeypatch.setattr(Redis, "lacking", lambda: "no redis-server")
        assert lacking((), processes, None) is None
        assert lacking(("redis",), processes, None) == "Redis: no redis-server"

        def no_programs() -> None:
            raise BadInput("there is no PostgreSQL to start")

        monkeypatch.setattr(backend_choice, "postgres_programs", no_programs)
        assert lacking(("postgres",), processes, None) == "PostgreSQL: there is no PostgreSQL to start"

    def test_a_gateway_that_runs_already_can_be_given_none(self) -> None:
        url = chosen(litellm="url:http://h:1", mock_url="http://h:2")
        assert lacking(("redis",), url, None) == (
            "a gateway that perfgate starts, with redis; gateway at http://h:1 runs already"
        )
        assert url.choice.backend == "processes"

    def test_portkey_can_be_given_none(self) -> None:
        portkey = chosen(litellm="portkey:1.15.2", stack="processes")
        assert lacking(("postgres",), portkey, None) == "a LiteLLM with postgres; --litellm names portkey 1.15.2"
        assert lacking((), portkey, None) is None

    def test_a_server_that_runs_already_must_have_connections_for_all_generations_at_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []
        monkeypatch.setattr(backend_choice, "checked_server", lambda url, connections: asked.append(connections))
        several = settings({"--stack": "processes", "--workers": "2", "--instances": "3"})
        for generations in (1, 5):
            lacking(("postgres",), chosen_stack(several, generations, has_none), POSTGRES)
        one = 2 * 3 * DATABASE_POOL_LIMIT
        assert asked == [one + CONNECTIONS_MARGIN, 5 * one + CONNECTIONS_MARGIN]

    def test_a_server_that_runs_already_is_asked_whether_it_can_be_used(self) -> None:
        port = free_port()
        with pytest.raises(BadInput, match=f"no PostgreSQL server can be reached at 127.0.0.1:{port}/litellm"):
            lacking(("postgres",), chosen(stack="processes"), POSTGRES.replace("5432", str(port)))
