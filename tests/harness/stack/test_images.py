"""Which image each role has, and what is said when it is not to be had; the last tests need a Docker engine."""

import argparse
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from testcontainers.core.docker_client import DockerClient

from perfgate import images_command
from perfgate.cli import main
from perfgate.errors import BadInput
from perfgate.exit_codes import ExitCode
from perfgate.stack import images
from perfgate.stack.build_settings import BuildSettings
from perfgate.stack.images import (
    BUILT,
    OFFICIAL,
    ROLES,
    ROOT,
    BuildFailed,
    ImageFacts,
    ImageMissing,
    Images,
    PullFailed,
    Role,
    build,
    content_of,
    images_of,
    litellm_in,
    official_tag,
    present,
    prisma_in,
    sources_of,
)


def silent(_: str) -> None:
    pass


@pytest.mark.parametrize(
    ("release", "tag"),
    [
        ("1.79.3", "v1.79.3-stable"),
        ("1.83.3", "v1.83.3-stable"),
        ("1.84.0", "v1.84.0"),
        ("1.106.2", "v1.106.2"),
        ("2.0.0", "v2.0.0"),
        ("1.83.0rc1", "v1.83.0rc1"),
    ],
)
def test_stable_releases_had_a_suffix_in_their_tag_up_to_1_83(release: str, tag: str) -> None:
    assert official_tag(release) == tag


def test_portkey_tags_its_image_with_the_release_alone() -> None:
    assert OFFICIAL.of("portkey", "1.15.2") == "portkeyai/gateway:1.15.2"


def test_a_release_that_is_refused_has_no_tag() -> None:
    with pytest.raises(BadInput, match="refused"):
        OFFICIAL.of("litellm", "1.107.0")


def test_what_is_built_here_bears_our_prefix_and_a_hash_of_its_sources() -> None:
    for role in ROLES:
        assert re.fullmatch(rf"perfgate/{role}:(1\.106\.2-none-)?[0-9a-f]{{12}}", BUILT.of(role, "1.106.2", "none"))


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("", OFFICIAL),
        ("official", OFFICIAL),
        ("built", BUILT),
        ("redis=valkey/valkey:8", replace(OFFICIAL, redis="valkey/valkey:8")),
        ("built, litellm=mine:{release}", replace(BUILT, litellm="mine:{release}")),
    ],
)
def test_images_are_the_official_ones_but_for_what_is_said(text: str, images: Images) -> None:
    assert images_of(text) == images


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("biult", "biult"),
        ("mysql=x", "mysql=x"),
        ("redis=", "redis="),
        ("redis=a b", "redis=a b"),
        ("redis=x,built", "built"),
        ("built,", ""),
    ],
)
def test_other_images_are_refused_with_the_grammar(text: str, part: str) -> None:
    with pytest.raises(BadInput) as caught:
        images_of(text)
    assert str(caught.value) == (
        f"--images={text}: {part!r} cannot be used: --images is official or built, then ROLE=NAME for single ones, "
        "divided by commas; a role is one of mock, litellm, postgres, redis, portkey; such as "
        "built,redis=valkey/valkey:8"
    )


def checkout(root: Path) -> Path:
    for name in ("mock_openai/Dockerfile", "mock_openai/app.py", "requirements.txt", "requirements-uv.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_an_edited_source_makes_another_image(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    before = content_of("mock", root)
    assert content_of("mock", root) == before
    (root / "mock_openai/app.py").write_text("edited")
    edited = content_of("mock", root)
    (root / "mock_openai/more.py").write_text("")
    assert len({before, edited, content_of("mock", root)}) == 3


def test_bytecode_and_readmes_make_no_other_image(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    before = content_of("mock", root)
    (root / "mock_openai/README.md").write_text("words")
    (root / "mock_openai/__pycache__").mkdir()
    (root / "mock_openai/__pycache__/app.pyc").write_text("")
    assert content_of("mock", root) == before


@pytest.mark.parametrize("role", ROLES)
def test_every_file_that_a_dockerfile_copies_is_in_its_context(role: Role) -> None:
    sources = sources_of(role)
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", sources["Dockerfile"].read_text(), re.MULTILINE)
    for pattern in " ".join(copies).split():
        is_there = any(Path(name).match(pattern) or name.startswith(f"{pattern}/") for name in sources)
        assert is_there or pattern in ("ca-certificates.cr[t]", "settings.en[v]"), pattern


def test_a_perfgate_without_its_checkout_builds_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        sources_of("mock", tmp_path)
    assert str(caught.value) == (
        "the image of mock is built from mock_openai/Dockerfile, which lies in perfgate's own checkout and not here "
        f"({tmp_path}): run from a checkout, or name an image with --images mock=NAME"
    )


def test_every_dockerfile_that_installs_packages_takes_the_host_s_settings() -> None:
    for role in ("mock", "litellm", "portkey"):
        lines = sources_of(role)["Dockerfile"].read_text()
        assert lines.count("LABEL perfgate.stage=build") == 1
        installing = [run for run in re.split(r"^(?=[A-Z]+ )", lines, flags=re.MULTILINE) if "pip install" in run]
        assert installing
        assert all(". /build/settings.env" in run for run in installing)


def run_command(*arguments: str) -> ExitCode:
    parser = argparse.ArgumentParser()
    images_command.add_images(parser.add_subparsers())
    options = parser.parse_args(["images", "build", *arguments])
    code: ExitCode = options.run(options)
    return code


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Mapping[str, Any]]]:
    """What `perfgate images build` has asked for; nothing is built."""
    asked: list[tuple[str, str, Mapping[str, Any]]] = []

    def fake_build(client: object, role: str, base: str, **others: Any) -> ImageFacts:
        asked.append((role, base, others))
        return ImageFacts(f"perfgate/{role}:0", "sha256:0123456789abcdef", None, "", 328_000_000)

    class Client:
        def close(self) -> None:
            pass

        client = property(lambda self: self)

    monkeypatch.setattr("perfgate.stack.engine.connected", Client)
    monkeypatch.setattr("perfgate.stack.images.build", fake_build)
    monkeypatch.setattr(images_command, "_uploaded_until", lambda release: f"as of {release}")
    return asked


def test_the_command_builds_all_roles_on_the_base(built: list[tuple[str, str, Mapping[str, Any]]]) -> None:
    assert run_command("--base", "debian:bookworm-slim") is ExitCode.OK
    assert [(role, base) for role, base, _ in built] == [(role, "debian:bookworm-slim") for role in ROLES]
    assert {others["say"] for _, _, others in built} == {print}


def test_the_command_passes_on_what_it_is_told(built: list[tuple[str, str, Mapping[str, Any]]]) -> None:
    run_command("--only", "litellm", "--litellm", "v1.79.3", "--litellm", "1.106.2", "--prisma-engine", "wasm")
    assert [(others["release"], others["exclude_newer"]) for _, _, others in built] == [
        ("1.79.3", "as of 1.79.3"),
        ("1.106.2", "as of 1.106.2"),
    ]
    assert {(others["prisma"], others["again"]) for _, _, others in built} == {("wasm", False)}
    built.clear()
    run_command("--only", "litellm", "--deps", "today", "--ca-bundle", "ca.pem", "--again")
    ((_, base, others),) = built
    assert (base, others["exclude_newer"], others["again"]) == ("python:3.13-slim", None, True)
    assert others["settings"].ca_bundle == Path("ca.pem")


def test_the_command_is_one_of_perfgate_s(built: list[tuple[str, str, Mapping[str, Any]]]) -> None:
    assert main(["images", "build", "--only", "redis"]) == ExitCode.OK
    assert [role for role, _, _ in built] == ["redis"]


def test_the_command_refuses_a_role_that_is_none(built: list[tuple[str, str, Mapping[str, Any]]]) -> None:
    with pytest.raises(BadInput, match="--only mock,mysql: 'mysql' is none of mock, litellm, postgres, redis"):
        run_command("--only", "mock,mysql")
    assert not built


@dataclass(frozen=True, slots=True)
class FakeImage:
    """As Docker's library has it."""

    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=lambda: {"Created": "", "Size": 328_000_000})


class FakeEngine:
    """An engine with images by name, which builds nothing but their labels."""

    def __init__(self) -> None:
        self.client = self.images = self
        self.by_name = {"debian": FakeImage("sha256:debian"), "ubuntu": FakeImage("sha256:ubuntu")}
        self.builds = 0

    def get(self, name: str) -> FakeImage:
        return self.by_name[name]

    def list(self, name: str) -> list[FakeImage]:
        return [self.by_name[name]] if name in self.by_name else []

    def keep(self, name: str, labels: Mapping[str, str]) -> None:
        self.builds += 1
        self.by_name[name] = FakeImage(f"sha256:0123456789abcde{self.builds}", labels)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    engine = FakeEngine()

    class Image:
        def __init__(self, *_: object, tag: str, labels: Mapping[str, str], **__: object) -> None:
            self.build = partial(engine.keep, tag, labels)

    monkeypatch.setattr(images, "DockerImage", Image)
    return engine


def litellm_build(engine: FakeEngine, base: str = "debian", **changes: Any) -> list[str]:
    """What is said of an image that need not be built when it is here."""
    said: list[str] = []
    made: dict[str, Any] = {"release": "1.106.2", "exclude_newer": datetime(2026, 1, 1, tzinfo=UTC), "prisma": "wasm"}
    options: dict[str, Any] = {"say": said.append, "settings": BuildSettings({}), "again": False}
    build(engine, "litellm", base, **(options | made | changes))  # type: ignore[arg-type]
    return said


def test_the_same_image_is_built_once_and_again_only_when_asked_for(engine: FakeEngine) -> None:
    name = BUILT.of("litellm", "1.106.2", "wasm")
    building, built = f"building the image {name} on debian", f"built {name}: 0123456789ab, 328 MB"
    here = f"{name} is here already, built on debian with the same packages; --again builds it anew"
    assert litellm_build(engine) == [building, built]
    assert litellm_build(engine) == [here]
    assert litellm_build(engine, again=True) == [building, built]


@pytest.mark.parametrize(
    "changes",
    [
        {"base": "ubuntu"},
        {"exclude_newer": datetime(2026, 1, 2, tzinfo=UTC)},
        {"exclude_newer": None},
        {"prisma": "none"},
        {"release": "1.79.3"},
    ],
    ids=str,
)
def test_an_image_on_another_base_or_with_other_packages_is_built_though_one_is_here(
    engine: FakeEngine, changes: Mapping[str, Any]
) -> None:
    litellm_build(engine)
    litellm_build(engine, **changes)
    assert engine.builds == 2
    litellm_build(engine, **changes)
    assert engine.builds == 2


def test_an_image_is_built_anew_when_its_base_was(engine: FakeEngine) -> None:
    litellm_build(engine)
    engine.by_name["debian"] = FakeImage("sha256:newer")
    litellm_build(engine)
    assert engine.builds == 2


def test_an_image_that_does_not_say_what_it_was_made_with_is_built_anew(engine: FakeEngine) -> None:
    engine.keep(BUILT.of("litellm", "1.106.2", "wasm"), {})
    litellm_build(engine)
    assert engine.builds == 2


def test_the_client_of_prisma_is_part_of_what_an_image_is_made_with(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    litellm_build(engine)
    monkeypatch.setattr(images, "CLIENT_PACKAGE", "prisma==0")
    litellm_build(engine)
    assert engine.builds == 2


# From here on with a Docker engine.


@pytest.fixture
def base(client: DockerClient, request: pytest.FixtureRequest) -> str:
    """An image that is here, to build others on."""
    try:
        return present(client, BUILT.of("mock"), silent).name
    except ImageMissing as error:
        pytest.skip(f"not run: {request.node.name}: {error}")


class _EmptyRegistry(BaseHTTPRequestHandler):
    """A registry of images that has none."""

    def do_GET(self) -> None:
        body = (
            b"{}"
            if self.path == "/v2/"
            else b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
        )
        self.send_response(200 if self.path == "/v2/" else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
def test_an_image_that_its_registry_does_not_have_is_bad_input(client: DockerClient) -> None:
    with HTTPServer(("127.0.0.1", 0), _EmptyRegistry) as registry:
        Thread(target=registry.serve_forever, daemon=True).start()
        name = f"127.0.0.1:{registry.server_port}/litellm:v0.0.0"
        said: list[str] = []
        with pytest.raises(ImageMissing) as caught:
            present(client, name, said.append)
        registry.shutdown()
    assert said == [f"pulling the image {name}"]
    assert str(caught.value).startswith(f"the image {name} does not exist, or is not for everybody: ")
    assert str(caught.value).endswith(
        "; name another with --images; where no registry can be reached, `perfgate images build --base IMAGE` makes "
        "them, and --images=built takes those"
    )
    assert caught.value.exit_code is ExitCode.BAD_INPUT


@pytest.mark.slow
def test_a_registry_that_cannot_be_reached_is_told_from_one_that_has_no_such_image(client: DockerClient) -> None:
    with pytest.raises(PullFailed, match=r"the image 127\.0\.0\.1:1/redis cannot be pulled: .*refused.*--images=built"):
        present(client, "127.0.0.1:1/redis", silent)


def test_an_image_of_ours_is_never_pulled(client: DockerClient) -> None:
    said: list[str] = []
    with pytest.raises(ImageMissing) as caught:
        present(client, "perfgate/mock:none", said.append)
    assert not said
    assert str(caught.value) == (
        "the image perfgate/mock:none is not on this host, and only a build makes it: `perfgate images build` "
        "(--base IMAGE names a Debian that is here, where none can be pulled; LiteLLM's image is made for one "
        "--prisma-engine, and the run has to name the same)"
    )


@pytest.mark.slow
def test_an_image_that_is_here_is_known_by_the_hash_that_docker_gives_it(client: DockerClient, base: str) -> None:
    facts = present(client, base, silent)
    assert facts.image_id == client.client.images.get(base).id
    assert facts.digest is None  # no registry has it
    assert facts.size_bytes > 10_000_000


@pytest.fixture
def postgres_checkout(tmp_path: Path, client: DockerClient) -> Iterator[Path]:
    """One whose image of PostgreSQL is something quick, and goes away again."""
    dockerfile = tmp_path / "docker/postgres/Dockerfile"
    dockerfile.parent.mkdir(parents=True)
    dockerfile.write_text(f"ARG BASE\nFROM ${{BASE}}\nCOPY * /copied/\nLABEL unique={uuid4()}\n")
    yield tmp_path
    name = f"perfgate/postgres:{content_of('postgres', tmp_path)}"
    if client.client.images.list(name):
        client.client.images.remove(name)


@pytest.mark.slow
def test_a_build_has_the_base_and_the_certificates_that_it_is_given(
    client: DockerClient, base: str, postgres_checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("certificates")
    settings = BuildSettings({}, bundle)
    name = f"perfgate/postgres:{content_of('postgres', postgres_checkout)}"
    monkeypatch.setattr("perfgate.stack.images.BUILT", Images("", "", name, "", ""))
    said: list[str] = []
    options: dict[str, Any] = {"say": said.append, "settings": settings, "root": postgres_checkout, "again": False}
    facts = build(client, "postgres", base, **options)
    assert [line.partition(":")[0] for line in said] == [
        "building the image perfgate/postgres",
        "built perfgate/postgres",
    ]
    assert facts.name == name
    assert build(client, "postgres", base, **options) == facts
    assert said[2] == f"{name} is here already, built on {base} with the same packages; --again builds it anew"
    container = client.client.containers.create(name, ["cat", "/copied/ca-certificates.crt"], network_mode="none")
    try:
        container.start()
        container.wait()
        assert container.logs() == b"certificates"
    finally:
        container.remove(force=True)
    assert build(client, "postgres", facts.image_id, **options).image_id != facts.image_id  # on another base
    with pytest.raises(BadInput, match=r"--ca-bundle /none\.pem: cannot be read \(No such file or directory\)"):
        build(
            client,
            "postgres",
            base,
            say=silent,
            settings=BuildSettings({}, Path("/none.pem")),
            root=postgres_checkout,
        )


@pytest.mark.slow
@pytest.mark.parametrize("status", [0, 7])
def test_a_mirror_is_known_to_the_first_stage_and_no_image_of_it_stays(
    client: DockerClient, base: str, postgres_checkout: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Nor of a stage that fails."""
    unique = uuid4()
    (postgres_checkout / "docker/postgres/Dockerfile").write_text(
        f"ARG BASE\nFROM ${{BASE}} AS build\nLABEL perfgate.stage=build test={unique}\nCOPY settings.env /build/\n"
        f"RUN . /build/settings.env && echo $PIP_INDEX_URL >/tmp/kept && exit {status}\n"
        f"FROM ${{BASE}}\nCOPY --from=build /tmp/kept /kept\n"
    )
    name = f"perfgate/postgres:{content_of('postgres', postgres_checkout)}"
    monkeypatch.setattr("perfgate.stack.images.BUILT", Images("", "", name, "", ""))
    settings = BuildSettings({"PIP_INDEX_URL": "https://mirror.example/simple"})
    try:
        build(client, "postgres", base, say=silent, settings=settings, root=postgres_checkout)
        assert status == 0
        assert client.client.containers.run(name, ["cat", "/kept"], remove=True, network_mode="none") == (
            b"https://mirror.example/simple\n"
        )
        assert "mirror.example" not in str(client.client.images.get(name).history())
    except BuildFailed:
        assert status == 7
    assert client.client.images.list(all=True, filters={"label": f"test={unique}"}) == []


@pytest.mark.slow
def test_a_build_that_fails_shows_its_last_lines(
    client: DockerClient, base: str, postgres_checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perfgate.stack.images.BUILT", Images("", "", "perfgate/postgres:broken", "", ""))
    (postgres_checkout / "docker/postgres/Dockerfile").write_text(
        f"ARG BASE\nFROM ${{BASE}}\nRUN echo {uuid4()}; echo the disk is on fire; exit 7\n"
    )
    with pytest.raises(BuildFailed) as caught:
        build(client, "postgres", base, say=silent, root=postgres_checkout)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith("the image perfgate/postgres:broken cannot be built: The command '/bin/sh -c echo")
    assert lines[-1] == "    | the disk is on fire" or "    | the disk is on fire" in lines
    assert caught.value.exit_code is ExitCode.STACK_FAILED


@pytest.mark.slow
def test_an_image_without_litellm_is_not_taken_for_one(client: DockerClient, base: str) -> None:
    with pytest.raises(BadInput, match=rf"the image {base} is not one of LiteLLM: that is not among its packages"):
        litellm_in(client, base)


@pytest.mark.slow
def test_an_image_without_a_python_that_works_is_not_taken_for_one(
    client: DockerClient, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perfgate.stack.images._LOOK_INSIDE", "raise SystemExit('out of order')")
    expected = f"the image {base} is not one of LiteLLM: a Python program fails in it: out of order"
    with pytest.raises(BadInput, match=re.escape(expected)):
        litellm_in(client, base)
    try:
        without = present(client, BUILT.of("redis"), silent).name
    except ImageMissing as error:
        pytest.skip(f"not run: an image without Python: {error}")
    with pytest.raises(BadInput, match=rf"the image {without} is not one of LiteLLM: .*python3"):
        litellm_in(client, without)


@pytest.mark.slow
def test_migrations_are_taken_from_the_image_when_they_are_applied_from_here(
    client: DockerClient, base: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(
        BadInput, match=rf"the image {base} has no migrations of LiteLLM's, so that no tables can be made"
    ):
        prisma_in(client, base, "wasm", tmp_path, "none")
    monkeypatch.setattr("perfgate.stack.images._LOOK_FOR_MIGRATIONS", """print('{"1 first": "SELECT 1;"}')""")
    prisma = prisma_in(client, base, "wasm", tmp_path, "none")
    assert (prisma.migrations / "1 first/migration.sql").read_text() == "SELECT 1;"
    assert prisma.mode == "wasm"
    assert prisma.variables["DISABLE_SCHEMA_UPDATE"] == "True"
    assert dict(prisma_in(client, base, "native", tmp_path, "none").variables) == {}


@pytest.mark.slow
def test_a_program_of_prisma_s_runs_in_the_image_on_the_network_that_it_is_given(
    client: DockerClient, base: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("perfgate.stack.images._LOOK_FOR_MIGRATIONS", """print('{"1": "SELECT 1;"}')""")
    program = "import os, socket; print(os.environ['DATABASE_URL'], [name for _, name in socket.if_nameindex()])"
    alone, connected = (
        prisma_in(client, base, "wasm", tmp_path, network).run_python(program, {"DATABASE_URL": "x"}).stdout
        for network in ("none", "bridge")
    )
    assert (alone, connected) == ("x ['lo']\n", "x ['lo', 'eth0']\n")
    failed = prisma_in(client, base, "wasm", tmp_path, "none").run_python("raise SystemExit('no lock')", {})
    assert (failed.returncode, failed.stdout) == (1, "no lock\n")


def test_the_dockerfiles_of_this_checkout_are_where_they_are_looked_for() -> None:
    assert all((ROOT / "docker" / role / "Dockerfile").exists() for role in ROLES if role != "mock")
