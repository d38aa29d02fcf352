"""Which image does each service run from, and how does it get onto this host?

Comes in: `--images`, a release, a base image. Goes out: `Images`, and `ImageFacts` of one that is here. The images are
pulled, or built from the Dockerfiles of this checkout, where no registry of images can be reached.

    role       official (pulled)                                        built by `perfgate images build`
    mock       none: built from mock_openai/Dockerfile in both cases    perfgate/mock:HASH, of what it is made from
    litellm    LITELLM_OFFICIAL, the variant with Prisma's engine       perfgate/litellm:RELEASE-PRISMA-HASH
    postgres   POSTGRES_OFFICIAL                                        perfgate/postgres:HASH
    redis      REDIS_OFFICIAL                                           perfgate/redis:HASH
    portkey    PORTKEY_OFFICIAL                                         perfgate/portkey:HASH

Not checked: pulling the official ones and running from them; no host that this was written on reaches their registry.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Literal, get_args

from docker.errors import APIError, BuildError, ImageNotFound, NotFound
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.image import DockerImage

from perfgate.errors import BadInput, StackFailed
from perfgate.stack.build_settings import BuildSettings
from perfgate.stack.engine import engine_errors, explained
from perfgate.stack.environments import Environment
from perfgate.stack.leftovers import own_labels
from perfgate.stack.node_package import NODE_WHEEL
from perfgate.stack.packages import Packages, normalized
from perfgate.stack.prisma_engine import CLIENT_PACKAGE, PrismaClient, PrismaMode
from perfgate.stack.releases import checked_release
from perfgate.stack.sources import SourceFacts

Role = Literal["mock", "litellm", "postgres", "redis", "portkey"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
#: Which engine of Prisma is in an image of LiteLLM; `none` for no database.
PrismaInImage = Literal["native", "wasm", "none"]

LITELLM_OFFICIAL: Final = "docker.litellm.ai/berriai/litellm-database:{tag}"
POSTGRES_OFFICIAL: Final = "postgres:16-alpine"
REDIS_OFFICIAL: Final = "redis:7-alpine"
PORTKEY_OFFICIAL: Final = "portkeyai/gateway:{release}"
#: A Debian with the Python that LiteLLM's own image has.
DEFAULT_BASE: Final = "python:3.13-slim"
#: What we build; no registry has these, so that they are never pulled.
OUR_PREFIX: Final = "perfgate/"
#: Up to this minor version a stable release is tagged v1.83.3-stable; since then v1.84.0.
LAST_SUFFIXED: Final = (1, 83)
#: Longer than the download of 500 MB at 5 Mbit/s.
SLOW_TIMEOUT_S: Final = 1_200
#: Of a build that failed.
SHOWN_BUILD_LINES: Final = 15

ROOT: Final = Path(__file__).parents[2]
DOCKERFILES: Final[Mapping[Role, Path]] = {
    "mock": Path("mock_openai/Dockerfile"),
    "litellm": Path("docker/litellm/Dockerfile"),
    "postgres": Path("docker/postgres/Dockerfile"),
    "redis": Path("docker/redis/Dockerfile"),
    "portkey": Path("docker/portkey/Dockerfile"),
}
#: What a Dockerfile copies, from the checkout's root, beside what is in its own folder.
_COPIED: Final[Mapping[Role, tuple[str, ...]]] = {
    "mock": ("requirements.txt", "requirements-uv.txt", "mock_openai/*.py"),
    "litellm": (
        "requirements-uv.txt",
        "prisma_engine/.npmrc",
        "prisma_engine/package.json",
        "prisma_engine/package-lock.json",
        "prisma_engine/src/*.js",
    ),
    "postgres": (),
    "redis": (),
    "portkey": (
        "requirements-uv.txt",
        "portkey_gateway/.npmrc",
        "portkey_gateway/package.json",
        "portkey_gateway/package-lock.json",
    ),
}
#: Of a context, and where the first stage of a build finds them.
_CA_BUNDLE: Final = "ca-certificates.crt"
_SETTINGS: Final = "settings.env"
_BUILD_FOLDER: Final = "/build"
#: On every image that we build: what its name does not say, see `build`.
MADE_WITH_LABEL: Final = "perfgate.made-with"
#: What every image of such a stage bears.
_STAGE_LABEL: Final = "perfgate.stage=build"
#: What runs in an image of LiteLLM to tell what is in it.
_LOOK_INSIDE: Final = """
import json, platform, sys
from importlib.metadata import distributions
packages = sorted({(each.name, each.version) for each in distributions()})
print(json.dumps({"prefix": sys.prefix, "python": platform.python_version(), "packages": packages}))
"""

#: Beside LiteLLM, in its package litellm_proxy_extras.
_LOOK_FOR_MIGRATIONS: Final = """
import json
from importlib.util import find_spec
from pathlib import Path
spec = find_spec("litellm_proxy_extras")
found = sorted(Path(spec.origin).parent.glob("migrations/*/migration.sql")) if spec else ()
print(json.dumps({path.parent.name: path.read_text() for path in found}))
"""

OPTION: Final = "--images"
_FORMS: Final = (
    f"{OPTION} is official or built, then ROLE=NAME for single ones, divided by commas; a role is one of "
    f"{', '.join(ROLES)}; such as built,redis=valkey/valkey:8"
)


class ImageMissing(BadInput):
    """An image is not on this host, and does not exist where it would be pulled from."""


class PullFailed(StackFailed):
    """An image is not on this host, and its registry cannot be reached."""


class BuildFailed(StackFailed):
    """An image could not be built."""


@dataclass(frozen=True, slots=True)
class Images:
    """The image of each role, with places to fill in.

    `{release}`: of LiteLLM, or of Portkey. `{tag}`: how LiteLLM tags its own image of one. `{prisma}`: how its image
    comes by Prisma's engine. `{content}`: hash of what an image is built from, so that one of an older checkout is not
    taken for ours.
    """

    mock: str
    litellm: str
    postgres: str
    redis: str
    portkey: str

    def of(self, role: Role, release: str = "", prisma: PrismaInImage = "native") -> str:
        """The name of a role's image; reads what it is built from, where that counts.

        Args:
            role: which.
            release: of LiteLLM or Portkey; the others have none.
            prisma: engine in it, likewise.

        >>> OFFICIAL.of("litellm", "1.79.3")
        'docker.litellm.ai/berriai/litellm-database:v1.79.3-stable'
        """
        name: str = getattr(self, role)
        filled = name.replace("{release}", release).replace("{prisma}", prisma)
        if "{tag}" in name:
            filled = filled.replace("{tag}", official_tag(release))
        if "{content}" in name:
            filled = filled.replace("{content}", content_of(role))
        return filled


_MOCK: Final = f"{OUR_PREFIX}mock:{{content}}"
OFFICIAL: Final = Images(_MOCK, LITELLM_OFFICIAL, POSTGRES_OFFICIAL, REDIS_OFFICIAL, PORTKEY_OFFICIAL)
BUILT: Final = Images(
    mock=_MOCK,
    litellm=f"{OUR_PREFIX}litellm:{{release}}-{{prisma}}-{{content}}",
    postgres=f"{OUR_PREFIX}postgres:{{content}}",
    redis=f"{OUR_PREFIX}redis:{{content}}",
    portkey=f"{OUR_PREFIX}portkey:{{content}}",
)


def images_of(text: str) -> Images:
    """The images that `--images` asks for.

    Args:
        text: `official`, `built`, `redis=valkey/valkey:8`, `built,postgres=postgres:17`; empty for the official ones.

    Raises:
        BadInput: it is none of these.
    """
    images = OFFICIAL
    for number, part in enumerate(text.split(",") if text else ()):
        role, is_one, name = part.strip().partition("=")
        if is_one and role in ROLES and name and not re.search(r"\s", name):
            images = replace(images, **{role: name})
        elif not is_one and number == 0 and role in ("official", "built"):
            images = OFFICIAL if role == "official" else BUILT
        else:
            raise BadInput(f"{OPTION}={text}: {part.strip()!r} cannot be used: {_FORMS}")
    return images


def official_tag(release: str) -> str:
    """How LiteLLM tags its image of a release.

    Raises:
        BadInput: it is no release.

    >>> official_tag("1.83.3"), official_tag("1.84.0"), official_tag("1.84.0rc1")
    ('v1.83.3-stable', 'v1.84.0', 'v1.84.0rc1')
    """
    number = checked_release(release)
    major, minor, *_ = number.split(".")
    has_suffix = (int(major), int(minor)) <= LAST_SUFFIXED and re.fullmatch(r"[\d.]+", number)
    return f"v{number}-stable" if has_suffix else f"v{number}"


def content_of(role: Role, root: Path = ROOT) -> str:
    """Hash of all that a role's image is built from, but for its base and its packages.

    Args:
        role: which.
        root: of the checkout.

    Raises:
        BadInput: see `sources_of`.
    """
    digest = hashlib.sha256()
    for name, path in sources_of(role, root).items():
        digest.update(f"{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def sources_of(role: Role, root: Path = ROOT) -> Mapping[str, Path]:
    """The files that a role's image is built from, by their names in the build's context.

    Args:
        role: which.
        root: of the checkout.

    Raises:
        BadInput: this perfgate is installed without its checkout.
    """
    dockerfile = root / DOCKERFILES[role]
    beside = sorted(dockerfile.parent.iterdir()) if role != "mock" and dockerfile.exists() else [dockerfile]
    copied = [path for pattern in _COPIED[role] for path in sorted(root.glob(pattern))]
    if not dockerfile.exists() or len(copied) < len(_COPIED[role]):
        raise BadInput(
            f"the image of {role} is built from {DOCKERFILES[role]}, which lies in perfgate's own checkout and not "
            f"here ({root}): run from a checkout, or name an image with {OPTION} {role}=NAME"
        )
    return {path.name: path for path in beside} | {str(path.relative_to(root)): path for path in copied}


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """An image that is here, for the record.

    Args:
        name: as asked for.
        image_id: hash of its configuration and layers; the same wherever it is.
        digest: by which its registry knows it; None for one that was built here.
        created_at: when it was built (ISO 8601).
        size_bytes: unpacked.
    """

    name: str
    image_id: str
    digest: str | None
    created_at: str
    size_bytes: int


def present(client: DockerClient, name: str, say: Callable[[str], None]) -> ImageFacts:
    """Have an image on this host; it is pulled when it is missing.

    Args:
        client: of the engine.
        name: of the image.
        say: called with a line before a pull.

    Raises:
        ImageMissing: it is not here, and not in its registry either, or is one that only a build makes.
        PullFailed: it is not here, and its registry cannot be reached.
        EngineGone: the engine does not answer.
    """
    with engine_errors(client, f"asking for the image {name}"):
        try:
            return _facts(name, client.client.images.get(name))
        except ImageNotFound:
            if name.startswith(OUR_PREFIX):
                raise ImageMissing(
                    f"the image {name} is not on this host, and only a build makes it: `perfgate images build` "
                    "(--base IMAGE names a Debian that is here, where none can be pulled; LiteLLM's image is made for "
                    "one --prisma-engine, and the run has to name the same)"
                ) from None
        say(f"pulling the image {name}")
        other = (
            f"name another with {OPTION}; where no registry can be reached, `perfgate images build --base IMAGE` makes "
            f"them, and {OPTION}=built takes those"
        )
        try:
            with_time = DockerClient(timeout=SLOW_TIMEOUT_S)
            return _facts(name, with_time.client.images.pull(*_repository_and_tag(name)))
        except APIError as error:
            # Old engines say so with another status.
            if isinstance(error, NotFound) or "manifest unknown" in explained(error):
                raise ImageMissing(
                    f"the image {name} does not exist, or is not for everybody: {explained(error)}; {other}"
                ) from None
            raise PullFailed(f"the image {name} cannot be pulled: {explained(error)}; {other}") from error


def build(
    client: DockerClient,
    role: Role,
    base: str = DEFAULT_BASE,
    *,
    say: Callable[[str], None],
    release: str = "",
    exclude_newer: datetime | None = None,
    prisma: PrismaInImage = "native",
    settings: BuildSettings | None = None,
    again: bool = True,
    root: Path = ROOT,
) -> ImageFacts:
    """Build a role's image, under the name that `BUILT` has for it.

    A run that takes the image knows its name, but not on which base or with which packages it was built, so the name
    does not depend on those: it is that of the last build. They are on the image as a label, by which a build with
    others is told from the same one once more.

    Args:
        client: of the engine.
        role: which.
        base: a Debian; pulled when it is missing.
        say: called with a line before anything that takes long.
        release: of LiteLLM.
        exclude_newer: no dependency of LiteLLM was uploaded later.
        prisma: engine in LiteLLM's image.
        settings: how packages are found while it is built; in no image afterwards. None takes this host's.
        again: build it though it is here, of the same files, on the same base and with the same packages.
        root: of the checkout.

    Raises:
        BadInput: no checkout, or the certificates cannot be read.
        ImageMissing, PullFailed: of the base.
        BuildFailed: with the last lines of the build.
        EngineGone: the engine does not answer.
    """
    name = BUILT.of(role, release, prisma)
    settings = settings or BuildSettings.of_host(os.environ)
    arguments, base_id = {"BASE": base}, present(client, base, say).image_id
    if role == "litellm":
        newest = exclude_newer.isoformat() if exclude_newer else ""
        arguments |= {"RELEASE": checked_release(release), "EXCLUDE_NEWER": newest}
        arguments |= {"PRISMA": prisma, "PRISMA_CLIENT": CLIENT_PACKAGE}
    if role in ("litellm", "portkey"):
        arguments["NODE_WHEEL"] = NODE_WHEEL
    made_with = json.dumps({**arguments, "BASE": base_id}, sort_keys=True)
    if not again and (here := _made_here(client, name, made_with)) is not None:
        say(f"{name} is here already, built on {base} with the same packages; --again builds it anew")
        return here
    say(f"building the image {name} on {base}")
    with tempfile.TemporaryDirectory(prefix="perfgate-build-") as folder:
        for target, path in sources_of(role, root).items():
            _copy(path, Path(folder, target))
        if settings.ca_bundle is not None:
            try:
                shutil.copyfile(settings.ca_bundle, Path(folder, _CA_BUNDLE))
            except OSError as error:
                raise BadInput(f"--ca-bundle {settings.ca_bundle}: cannot be read ({error.strerror})") from None
        Path(folder, _SETTINGS).write_text(settings.shell_lines(f"{_BUILD_FOLDER}/{_CA_BUNDLE}"))
        with engine_errors(client, f"building the image {name}"):
            image = DockerImage(
                folder,
                {"timeout": SLOW_TIMEOUT_S},
                tag=name,
                clean_up=False,
                dockerfile_path=DOCKERFILES[role].name,
                buildargs=arguments,
                labels={MADE_WITH_LABEL: made_with},
                forcerm=True,  # of what a step that failed leaves
            )
            try:
                image.build()
            except BuildError as error:
                raise BuildFailed(_build_failed(name, error)) from None
            finally:
                if settings.variables:
                    _forget_stages(client)
    facts = present(client, name, say)
    say(f"built {name}: {facts.image_id.removeprefix('sha256:')[:12]}, {facts.size_bytes / 1e6:.0f} MB")
    return facts


def _made_here(client: DockerClient, name: str, made_with: str) -> ImageFacts | None:
    """The image of that name when it was made with just that; None when it was not, or there is none."""
    with engine_errors(client, f"asking for the image {name}"):
        for image in client.client.images.list(name):
            if image.labels.get(MADE_WITH_LABEL) == made_with:
                return _facts(name, image)
    return None


def _forget_stages(client: DockerClient) -> None:
    """Remove the images of first stages, which hold the settings.

    Those of builds without any stay, and make the next one fast.
    """
    for stage in client.client.api.images(quiet=True, filters={"dangling": True, "label": _STAGE_LABEL}):
        try:
            client.client.api.remove_image(stage)
        except APIError as error:
            # Gone; or another build is on it, and removes it when it is done.
            if error.status_code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise


def _build_failed(name: str, error: BuildError) -> str:
    said = "".join(str(each.get("stream", "")) for each in error.build_log)
    lines = [line.rstrip() for line in said.splitlines() if line.strip()][-SHOWN_BUILD_LINES:]
    shown = "\n".join(f"    | {line}" for line in lines)
    return f"the image {name} cannot be built: {error.msg}\n  output       its last {len(lines)} lines\n{shown}"


def litellm_in(client: DockerClient, name: str) -> Environment:
    """What is installed in an image of LiteLLM, as a record wants it.

    Args:
        client: of the engine.
        name: of an image that is here.

    Raises:
        BadInput: there is no Python in it, or no LiteLLM.
        EngineGone: the engine does not answer.
    """
    facts = present(client, name, lambda line: None)
    inside = _told(client, name, _LOOK_INSIDE)
    packages = Packages(tuple(f"{normalized(package)}=={version}" for package, version in inside["packages"]))
    if "litellm" not in packages.versions:
        raise BadInput(f"the image {name} is not one of LiteLLM: that is not among its packages")
    return Environment(
        folder=Path(inside["prefix"]),
        source=SourceFacts(f"image {name}"),
        release=packages.versions["litellm"],
        deps="of-its-time",
        exclude_newer=None,
        python_version=inside["python"],
        packages=packages,
        made_at=facts.created_at,
        size_bytes=facts.size_bytes,
    )


def prisma_in(client: DockerClient, name: str, mode: PrismaMode, into: Path, network: str) -> PrismaClient:
    """Prisma's client in an image of LiteLLM: what LiteLLM must be told for it, and how its tables are made.

    Args:
        client: of the engine.
        name: of an image that is here.
        mode: which engine is in it.
        into: a folder on this host for the migrations that have to be applied from here.
        network: that databases are on.

    Raises:
        BadInput: see `litellm_in`; or it has no migrations.
        EngineGone: the engine does not answer.
    """

    def run_python(program: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return _run_python(client, name, program, variables, network)

    if mode == "native":
        return PrismaClient("native", f"Prisma's own, of the image {name}", {}, into, run_python)
    migrations: Mapping[str, str] = _told(client, name, _LOOK_FOR_MIGRATIONS)
    if not migrations:
        raise BadInput(f"the image {name} has no migrations of LiteLLM's, so that no tables can be made for it")
    for migration, statements in migrations.items():
        (into / migration).mkdir(parents=True, exist_ok=True)
        (into / migration / "migration.sql").write_text(statements)
    variables = {"DISABLE_SCHEMA_UPDATE": "True", "CHECKPOINT_DISABLE": "1"}
    return PrismaClient("wasm", f"Prisma 5.17.0, WebAssembly, of the image {name}", variables, into, run_python)


def _told(client: DockerClient, name: str, program: str) -> Any:
    """What a program of Python's writes, as JSON, when it runs in an image."""
    done = _run_python(client, name, program, {}, "none")
    if done.returncode != 0:
        said = done.stdout.strip()[-200:]
        raise BadInput(f"the image {name} is not one of LiteLLM: a Python program fails in it: {said}")
    return json.loads(done.stdout)


def _run_python(
    client: DockerClient, name: str, program: str, variables: Mapping[str, str], network: str
) -> subprocess.CompletedProcess[str]:
    """Run a program of Python's in an image; of one that fails, its errors stand beside its output."""
    argv = ["python3", "-c", program]
    with engine_errors(client, f"running a program in the image {name}"):
        try:
            container = client.client.containers.create(
                name, entrypoint=argv, environment=dict(variables), network=network, labels=own_labels()
            )
            try:
                container.start()
                status = container.wait(timeout=SLOW_TIMEOUT_S)["StatusCode"]
                said = container.logs(stderr=status != 0).decode(errors="replace")
            finally:
                container.remove(force=True, v=True)
        except APIError as error:
            raise BadInput(f"the image {name} is not one of LiteLLM: {explained(error)}") from None
    return subprocess.CompletedProcess(argv, status, said, "")


def _facts(name: str, image: Any) -> ImageFacts:
    digests = [digest.partition("@")[2] for digest in image.attrs.get("RepoDigests") or ()]
    return ImageFacts(name, image.id, digests[0] if digests else None, image.attrs["Created"], image.attrs["Size"])


def _repository_and_tag(name: str) -> Sequence[str]:
    """As a pull wants them; without a tag it would take every one.

    A colon after the last slash is a tag's; a digest is passed on as it is.
    """
    if "@" in name:
        return [name]
    repository, _, tag = name.rpartition(":")
    return [repository, tag] if repository and "/" not in tag else [name, "latest"]


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)
