"""Under which keys may environments and images be kept between jobs? `python3 -m perfgate.github.cache_keys`

Comes in: the action's inputs, and files of this checkout. Goes out: outputs of the step. Imports nothing that has to be
installed.

What is kept is told apart by its own content already: an environment's folder by all that it is made of, an image's
name by what it is built from. So a cache of other content does no harm; the keys say when a new one is worth keeping.
"""

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from perfgate.errors import BadInput
from perfgate.github.inputs import ROOT, GateInputs
from perfgate.github.workflow_commands import Annotation, append_outputs

#: What environments, and the packages beside them, are made by.
OF_ENVIRONMENTS: Final = (
    "perfgate/stack/environments.py",
    "perfgate/stack/installing.py",
    "perfgate/stack/node_package.py",
    "perfgate/stack/prisma_engine.py",
    "requirements-uv.txt",
    "requirements.txt",
    "prisma_engine/package-lock.json",
    "portkey_gateway/package-lock.json",
)
#: What images are built from.
OF_IMAGES: Final = (
    "mock_openai/*.py",
    "mock_openai/Dockerfile",
    "docker/*/*",
    "prisma_engine/package-lock.json",
    "prisma_engine/src/*.js",
    "portkey_gateway/package-lock.json",
    "requirements-uv.txt",
    "requirements.txt",
)
_HASH_CHARS: Final = 20
_FOLDER: Final = "path:"


def keys(inputs: GateInputs, root: Path = ROOT) -> dict[str, str]:
    """Keys by the names of outputs; `environments-prefix` is that of the same kind with other gateways."""
    system = f"{platform.system()}-{platform.machine()}-{sys.version_info.major}.{sys.version_info.minor}"
    made_by = f"perfgate-environments-{system}-{_hash(_files(root, OF_ENVIRONMENTS))}-"
    gateways = [_content(inputs.baseline), _content(inputs.candidate), *inputs.options]
    built_of = _hash([*_files(root, OF_IMAGES), inputs.images.encode(), *(word.encode() for word in gateways)])
    return {
        "environments-prefix": made_by,
        "environments": made_by + _hash(word.encode() for word in gateways),
        "images": f"perfgate-images-{system}-{built_of}",
    }


def _files(root: Path, patterns: Iterable[str]) -> list[bytes]:
    """Names and contents."""
    found = sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})
    return [part for path in found for part in (path.relative_to(root).as_posix().encode(), path.read_bytes())]


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}\0".encode() + part)
    return digest.hexdigest()[:_HASH_CHARS]


def _content(source: str) -> str:
    """What a gateway is known by: of a folder its commit, so that every commit is kept once."""
    if not source.startswith(_FOLDER):
        return source
    command = ["git", "-C", source.removeprefix(_FOLDER), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return source  # no checkout of git's


def main(environ: Mapping[str, str]) -> int:
    """Set the keys as outputs; returns the exit code."""
    try:
        found = keys(GateInputs.of_environ(environ))
    except BadInput as error:
        print(Annotation("error", "perfgate: bad input", str(error)).command)
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    for name, key in found.items():
        print(f"{name}: {key}")
    append_outputs(environ, found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(os.environ))
