"""What services look like in a container; no engine is needed for these."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from perfgate.stack.callbacks import AUTHORITY_FILE, LogAccess, callback
from perfgate.stack.container_services import ContainerSpec, in_container
from perfgate.stack.environments import Environment
from perfgate.stack.images import BUILT, Images
from perfgate.stack.litellm import LiteLLM, faults_file
from perfgate.stack.mock import Mock
from perfgate.stack.packages import Packages
from perfgate.stack.postgres import Postgres, PostgresPrograms
from perfgate.stack.redis import Redis, RedisProgram
from perfgate.stack.sources import SourceFacts

IMAGES: Final = Images("the-mock", "the-litellm:{release}-{prisma}", "the-postgres", "the-redis", "the-portkey")
ENVIRONMENT: Final = Environment(
    folder=Path("/opt/litellm"),
    source=SourceFacts("image x"),
    release="1.106.2",
    deps="of-its-time",
    exclude_newer=None,
    python_version="3.12.7",
    packages=Packages(()),
    made_at="",
    size_bytes=0,
)
GATEWAY: Final = LiteLLM(ENVIRONMENT, "http://mock-1:8090/v1", workers=3, extra_files=faults_file())
POSTGRES: Final = Postgres(50, programs=PostgresPrograms(Path("/none"), "16.4", "no host"))
REDIS: Final = Redis(64, program=RedisProgram(Path("/none"), "7.2"))
SERVICES: Final[dict[str, Mock | LiteLLM | Postgres | Redis]] = {
    "mock": Mock(),
    "litellm": GATEWAY,
    "postgres": POSTGRES,
    "redis": REDIS,
}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_keeps_its_name_its_deadline_its_secrets_and_its_proof(name: str) -> None:
    service = SERVICES[name]
    spec = in_container(replace(service, start_deadline_s=7.0), IMAGES)
    assert (spec.name, spec.start_deadline_s, spec.secrets) == (name, 7.0, tuple(service.secrets))
    assert [check.what for check in spec.ready_checks] == [check.what for check in service.ready_checks()]


def test_only_a_gateway_has_workers() -> None:
    assert {name: in_container(service, IMAGES).workers for name, service in SERVICES.items()} == {
        "mock": 1,
        "litellm": 3,
        "postgres": 1,
        "redis": 1,
    }


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_stands_on_a_command_line(name: str) -> None:
    service = SERVICES[name]
    spec = in_container(service, IMAGES)
    assert not [word for word in spec.command for secret in service.secrets if secret in word]


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_of_this_host_is_in_a_container(name: str) -> None:
    spec = in_container(SERVICES[name], IMAGES)
    words = [*spec.command, *spec.environment.values(), *spec.files.values()]
    assert not [word for word in words if str(Path.home()) in word or "/none" in word]
    assert not {"PATH", "HOME", "TMPDIR"} & set(spec.environment)


def test_the_mock_listens_on_every_address_of_its_container() -> None:
    mock = Mock(announce_token="mine")
    expected = "python -P -m mock_openai --port 8090 --announce-token mine --host 0.0.0.0"
    assert " ".join(in_container(mock, IMAGES).command) == expected
    assert in_container(mock, IMAGES).image == "the-mock"


def test_litellm_is_told_the_same_but_where_to_listen_and_where_its_files_are() -> None:
    spec = in_container(GATEWAY, IMAGES)
    assert " ".join(spec.command) == (
        "--config /perfgate/config.yaml --host 0.0.0.0 --port 4000 --num_workers 3 --telemetry False"
    )
    assert {Path(path).name: text for path, text in spec.files.items()} == GATEWAY.files()
    assert {Path(path).parent for path in spec.files} == {Path("/perfgate")}
    assert spec.environment["LITELLM_MASTER_KEY"] == GATEWAY.master_key


def test_litellm_finds_whom_to_trust_where_its_files_are_and_the_sink_by_the_network_s_names() -> None:
    spec = in_container(replace(GATEWAY, logging=LogAccess(callback("langsmith", environ={}), "PEM")), IMAGES)
    assert spec.files[f"/perfgate/{AUTHORITY_FILE}"] == "PEM"
    assert spec.environment["SSL_CERT_FILE"] == f"/perfgate/{AUTHORITY_FILE}"
    assert "HTTPS_PROXY" not in spec.environment


def test_litellm_s_image_is_that_of_its_release_and_engine() -> None:
    assert in_container(GATEWAY, IMAGES).image == "the-litellm:1.106.2-native"
    assert in_container(GATEWAY, IMAGES, prisma="none").image == "the-litellm:1.106.2-none"
    older = replace(GATEWAY, installed=replace(ENVIRONMENT, release="1.79.3"))
    assert in_container(older, IMAGES).image == "the-litellm:1.79.3-native"


def test_the_host_s_prisma_engine_is_not_the_image_s() -> None:
    gateway = replace(GATEWAY, extra_environment={"PRISMA_QUERY_ENGINE_BINARY": "/host/engine", "DATABASE_URL": "x"})
    environment = in_container(gateway, IMAGES).environment
    assert "PRISMA_QUERY_ENGINE_BINARY" not in environment
    assert environment["DATABASE_URL"] == "x"


def test_postgres_is_set_up_as_the_process_is() -> None:
    spec = in_container(POSTGRES, IMAGES)
    assert spec.command[0] == "postgres"
    assert {"max_connections=50", "fsync=off", "timezone=UTC"} < set(spec.command)
    assert spec.environment["POSTGRES_PASSWORD"] == POSTGRES.password
    durable = in_container(replace(POSTGRES, is_durable=True, max_connections=60), IMAGES)
    assert {"max_connections=60", "fsync=on"} < set(durable.command)


def test_redis_takes_its_own_configuration_from_a_file() -> None:
    spec = in_container(REDIS, IMAGES)
    assert spec.command[:2] == ("redis-server", "/perfgate/redis.conf")
    assert "maxmemory 64mb" in spec.files["/perfgate/redis.conf"]
    assert f"requirepass {REDIS.password}" in spec.files["/perfgate/redis.conf"]


def test_a_service_that_knows_how_it_runs_in_a_container_is_asked() -> None:
    class Own:
        def in_container(self, images: Images) -> ContainerSpec:
            return replace(in_container(Mock(), images), name="own")

    spec = in_container(Own(), BUILT)
    assert (spec.name, spec.image) == ("own", BUILT.of("mock"))
    assert in_container(spec, IMAGES) is spec


def test_a_service_that_does_not_is_a_mistake() -> None:
    with pytest.raises(TypeError, match=r"object has no in_container\(images\): it cannot run in a container"):
        in_container(object(), IMAGES)
