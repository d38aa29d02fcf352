"""How is Portkey's gateway run as a service?

Comes in: its npm package in our cache (node_package.py), or an image that holds it, and the endpoint behind it. Goes
out: a `Service`. It has no configuration, no keys and no database: each request says by headers which provider it is
for, and where that is.

Its server, by its source (1.15.2):

    it is one process
    it listens on all addresses, and no option changes that: so that it keeps to loopback as a process, a module of ours
    (portkey_gateway/src/loopback.js) is loaded before it
    requests are passed on with Node's `fetch`, which keeps connections open, and not again unless they ask for that
    every request is written down as JSON for a page with logs: also with `--headless`, which leaves the page out
    an endpoint on loopback or in a private network is refused, but for those in TRUSTED_CUSTOM_HOSTS, which replaces
    the default (loopback's own)
"""

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from perfgate.errors import StackFailed
from perfgate.stack.container_services import ContainerSpec
from perfgate.stack.images import Images
from perfgate.stack.litellm import CHAT_PATH
from perfgate.stack.mock import REPLY_TEXT
from perfgate.stack.node_package import Node, NodePackage
from perfgate.stack.readiness import HttpCheck
from perfgate.stack.releases import PORTKEY_RELEASE

#: Beside perfgate, in a checkout and where it is installed.
PACKAGE: Final = Path(__file__).parents[2] / "portkey_gateway"
WHAT: Final = "Portkey's gateway"
#: Below node_modules, and in an image.
SCRIPT: Final = "build/start-server.js"
PROVIDER_HEADER: Final = "x-portkey-provider"
HOST_HEADER: Final = "x-portkey-custom-host"
#: In a container: its own default.
PORT: Final = 8787
#: It is up in a second; the rest is for overloaded hosts.
START_DEADLINE_S: Final = 60.0
#: How it answers when a request cannot be passed on.
_NOBODY_THERE: Final = frozenset({500, 502, 503, 504})
#: To which Node's `fetch` sends nothing.
_REFUSED_PORT: Final = 9
_READY_MODEL: Final = "perfgate-ready"


@dataclass(frozen=True, slots=True)
class PortkeyProgram:
    """Portkey's gateway, ready to be started.

    Args:
        node: Node.js.
        script: of its server.
        preload: modules that are loaded before it.
        node_version: `20.20.2`; empty where an image has its own.
    """

    node: str
    script: str
    preload: tuple[str, ...] = ()
    node_version: str = ""


#: In the official image, and in ours: where these start.
IN_IMAGE: Final = PortkeyProgram("node", SCRIPT)


@contextmanager
def installed(
    cache_dir: Path,
    environ: Mapping[str, str],
    *,
    say: Callable[[str], None] = lambda line: None,
    package: Path = PACKAGE,
) -> Iterator[PortkeyProgram]:
    """Have the pinned release on this host, installed when it is missing, for as long as the context is open.

    Args:
        cache_dir: where it is installed.
        environ: of the user.
        say: called with a line before anything that takes long.
        package: what pins it.

    Raises:
        StackFailed: see `NodePackage.using`.
    """
    node_package = NodePackage("portkey-gateway", WHAT, package, cache_dir, environ, _check)
    with node_package.using(say=say) as found:
        preload = (found.folder / "src" / "loopback.js").as_uri()
        yield PortkeyProgram(str(found.node), str(_folder(found.folder) / SCRIPT), (preload,), found.node_version)


def _folder(installed_in: Path) -> Path:
    return installed_in / "node_modules" / "@portkey-ai" / "gateway"


def _check(folder: Path, _: Node) -> None:
    """See that what npm has installed is what is asked for."""
    gateway = _folder(folder)
    try:
        version = json.loads((gateway / "package.json").read_text())["version"]
    except (OSError, ValueError, KeyError):
        version = "none"
    if version != PORTKEY_RELEASE or not (gateway / SCRIPT).exists():
        raise StackFailed(
            f"{WHAT} was installed but is not the one that perfgate knows: its version is {version}, not "
            f"{PORTKEY_RELEASE}, or it has no {SCRIPT}"
        )


def _nowhere() -> str:
    """An address of this machine that nobody listens on, and that nobody else is told of."""
    return ".".join(["127", *(str(1 + secrets.randbelow(254)) for _ in range(3))])


@dataclass(frozen=True, slots=True)
class Portkey:
    """One Portkey instance: `with backend.running(Portkey(program, f"{mock.address.url}/v1")) as gateway: …`.

    Args:
        program: what runs.
        api_base: the endpoint behind it; its chat completions are at `api_base/chat/completions`.
        reply_contains: what proves that an answer is the endpoint's.
        nowhere: an address that only this process is told to trust, by which we know that it is ours.
        name: for messages and file names.
        start_deadline_s: how long after its start it may take to answer.
    """

    program: PortkeyProgram
    api_base: str
    reply_contains: str = REPLY_TEXT
    nowhere: str = field(default_factory=_nowhere)
    name: str = "portkey"
    start_deadline_s: float = START_DEADLINE_S
    secrets: Sequence[str] = ()
    chat_path: str = CHAT_PATH
    client_key: str | None = None

    @property
    def client_headers(self) -> Mapping[str, str]:
        """Which provider's format the endpoint has, and where it is."""
        return {PROVIDER_HEADER: "openai", HOST_HEADER: self.api_base}

    def argv(self, port: int) -> list[str]:
        """Its server, without the page for people."""
        preload = [word for module in self.program.preload for word in ("--import", module)]
        return [self.program.node, *preload, self.program.script, "--headless", f"--port={port}"]

    def environment(self, folder: Path) -> Mapping[str, str]:
        """What production sets, and whom it may pass requests on to."""
        return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder), **self._settings}

    @property
    def _settings(self) -> Mapping[str, str]:
        endpoint = urlsplit(self.api_base).hostname or ""
        return {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": f"{endpoint},{self.nowhere}"}

    def files(self) -> Mapping[str, str]:
        """None."""
        return {}

    def ready_checks(self) -> Sequence[HttpCheck]:
        """A chat completion from the mock; and an address that it would refuse if it were not ours."""
        chat = {"model": _READY_MODEL, "messages": [{"role": "user", "content": "ready?"}]}
        nowhere = {**self.client_headers, HOST_HEADER: f"http://{self.nowhere}:{_REFUSED_PORT}/v1"}
        return [
            HttpCheck(
                "the mock's reply to a chat completion",
                self.chat_path,
                "POST",
                headers=self.client_headers,
                json=chat,
                contains=(self.reply_contains,),
            ),
            # Another one answers 400, as it does for every address that it was not told to trust. Ours tries, and its
            # log then says "bad port".
            HttpCheck(
                "its trust in an address that it alone was told of",
                self.chat_path,
                "POST",
                headers=nowhere,
                json=chat,
                statuses=_NOBODY_THERE,
            ),
        ]

    def in_container(self, images: Images) -> ContainerSpec:
        """On every address of the container's own network; not by the official image's entry point, which is npm."""
        node, *arguments = self.argv(PORT)
        return ContainerSpec(
            name=self.name,
            image=images.of("portkey", PORTKEY_RELEASE),
            port=PORT,
            command=tuple(arguments),
            environment=self._settings,
            files={},
            ready_checks=tuple(self.ready_checks()),
            secrets=tuple(self.secrets),
            start_deadline_s=self.start_deadline_s,
            entrypoint=(node,),
        )
