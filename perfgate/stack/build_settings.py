"""How do pip, uv and npm on this host find their packages, so that they do the same while an image is built?

Comes in: the environment, and through it the tools' own configuration files. Goes out: `BuildSettings`: variables, and
certificates to trust. A mirror's address may hold a password: it is in no message, and stays in no image (images.py).
What only this host can reach, such as folders, is left out.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from perfgate.stack.child_program import run_to_end

#: Of the environment, for a build.
_VARIABLES: Final = re.compile(
    r"PIP_(EXTRA_)?INDEX_URL|PIP_TRUSTED_HOST"
    r"|UV_((DEFAULT_|EXTRA_)?INDEX(_URL)?|INDEX_STRATEGY|INSECURE_HOST|INDEX_\w+_(USERNAME|PASSWORD))"
    r"|NPM_CONFIG_REGISTRY",
    re.IGNORECASE,
)
#: What pip's command line shows of its configuration: `global.index-url='https://mirror.example/simple'`.
_PIP_SETTING: Final = re.compile(r"(?:global|install|:env:)\.(index-url|extra-index-url|trusted-host|cert)=(.*)")
#: Of npm's, which does not show its defaults, and marks as a comment what another setting goes before.
_NPM_SETTING: Final = re.compile(r'^registry = "(.+)"', re.MULTILINE)
#: Tools that say how they are configured do so in a second.
_ASK_DEADLINE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """What a build is told of package indexes.

    Args:
        variables: of its environment, while it installs packages.
        ca_bundle: certificates to trust beside everybody's; None for no others.
    """

    variables: Mapping[str, str] = field(repr=False)
    ca_bundle: Path | None = None

    @classmethod
    def of_host(cls, environ: Mapping[str, str]) -> "BuildSettings":
        """Those of the user whose environment this is; it goes before configuration files, as it does for the tools."""
        configured = dict(_of_pip(environ))
        certificates = (configured.pop("PIP_CERT", ""), environ.get("SSL_CERT_FILE", ""))
        found = {**configured, **_of_uv(environ), **_of_npm(environ)}
        found |= {name: value for name, value in environ.items() if _VARIABLES.fullmatch(name)}
        reachable = {
            name: " ".join(word for word in value.split() if _is_reachable(word)) for name, value in found.items()
        }
        return cls(
            {name: value for name, value in reachable.items() if value},
            next((Path(path) for path in certificates if path and Path(path).is_file()), None),
        )

    def shell_lines(self, ca_bundle: str) -> str:
        """The same for a shell in a build.

        Args:
            ca_bundle: where the bundle is there.

        >>> print(BuildSettings({"PIP_INDEX_URL": "https://mirror.example"}).shell_lines("/ca.crt"), end="")
        PIP_INDEX_URL=https://mirror.example
        """
        variables = dict(self.variables)
        if self.ca_bundle is not None:
            variables |= dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"), ca_bundle)
        return "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())


def _is_reachable(word: str) -> bool:
    """Whether something stands for more than a place on this host."""
    return not re.search(r"(^|=)(file:|[/.~])", word)


def _of_pip(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    said = _answer([sys.executable, "-m", "pip", "config", "list"], environ)
    for line in said.splitlines():
        setting = _PIP_SETTING.fullmatch(line)
        if setting:
            # In quotes, with what was several lines in the file written as \n.
            value = " ".join(setting[2].strip("'\"").replace("\\n", " ").split())
            yield f"PIP_{setting[1].replace('-', '_').upper()}", value


def _of_uv(environ: Mapping[str, str]) -> Mapping[str, str]:
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/"), ".config"))
    stated = environ.get("UV_CONFIG_FILE")
    for path in (Path(stated),) if stated else (home / "uv/uv.toml", Path("/etc/uv/uv.toml")):
        try:
            configured: dict[str, Any] = tomllib.loads(path.read_text())
        except (OSError, ValueError):  # uv itself says what is wrong with it
            continue
        indexes = [index for index in configured.get("index", ()) if "url" in index]
        first = [index["url"] for index in indexes if index.get("default")] or [configured.get("index-url", "")]
        further = [index["url"] for index in indexes if not index.get("default")]
        further += configured.get("extra-index-url", [])
        return {"UV_DEFAULT_INDEX": first[0], "UV_INDEX": " ".join(further)}
    return {}


def _of_npm(environ: Mapping[str, str]) -> Mapping[str, str]:
    npm = shutil.which("npm", path=environ.get("PATH", os.defpath))
    said = _answer([npm, "config", "list"], environ) if npm else ""
    registry = _NPM_SETTING.search(said)
    return {"npm_config_registry": registry[1]} if registry else {}


def _answer(argv: list[str], environ: Mapping[str, str]) -> str:
    """What a tool says of its configuration; nothing when it is not there, or cannot tell."""
    try:
        done = run_to_end(argv, env=environ, cwd=Path("/"), deadline_s=_ASK_DEADLINE_S)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout if done.returncode == 0 else ""
