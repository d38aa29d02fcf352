"""`perfgate github images`: the images that perfgate builds, kept between jobs in a folder.

Comes in: the action's inputs, a folder that GitHub restored. Goes out: images on the engine, and files in the folder.

Only images that are built here are kept, under names that hold a hash of what they are built from. One that is pulled
would come back without the digest by which its registry knows it, and with that the record would not say any more what
was measured.
"""

import argparse
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.github.inputs import GateInputs
from perfgate.images_command import run_build
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Release, source_of

#: What `perfgate images build` names its images.
OURS: Final = "perfgate/*"
#: Beside LiteLLM's own; Portkey's is for no gate.
ROLES_BUILT: Final = "mock,litellm,postgres,redis"
ROLES_OFFICIAL: Final = "mock"
TAR_SUFFIX: Final = ".tar"


def run_images(options: argparse.Namespace) -> ExitCode:
    """Load what the folder has, build what is missing, and leave in the folder what there is.

    Raises:
        BadInput: there is no Docker, or an input cannot be used.
        StackFailed: an image could not be loaded, built or saved.
    """
    inputs = GateInputs.of_environ(os.environ)
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob(f"*{TAR_SUFFIX}")):
        print(f"loading {path.name}")
        _docker("load", "--quiet", "--input", str(path))
    is_built = inputs.images.partition(",")[0] == "built"
    run_build(
        argparse.Namespace(
            only=ROLES_BUILT if is_built else ROLES_OFFICIAL,
            base=None,
            litellm=_releases(inputs) if is_built else None,
            deps="of-its-time",
            prisma_engine=inputs.prisma_engine,
            ca_bundle=None,
            again=False,
        )
    )
    _keep(folder)
    return ExitCode.OK


def _releases(inputs: GateInputs) -> list[str]:
    """Of both sides, each once; containers run releases only."""
    named = [source_of(text) for text in (inputs.baseline, inputs.candidate) if text]
    return list(dict.fromkeys(each.number for each in named if isinstance(each, Release))) or [DEFAULT_RELEASE]


def _keep(folder: Path) -> None:
    """One file for each image of ours that is here."""
    names = _docker("image", "ls", "--filter", f"reference={OURS}", "--format", "{{.Repository}}:{{.Tag}}").split()
    for name in names:
        path = folder / f"{name.replace('/', '_').replace(':', '_')}{TAR_SUFFIX}"
        if not path.exists():
            print(f"keeping {name}")
            _docker("save", "--output", str(path), name)


def _docker(*arguments: str) -> str:
    command: Sequence[str] = ("docker", *arguments)
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError as error:
        raise BadInput("there is no docker here: stack=containers needs one; stack=processes does not") from error
    except subprocess.CalledProcessError as error:
        raise StackFailed(f"`{' '.join(command)}` failed: {error.stderr.strip() or error.returncode}") from error
