"""How are results kept, so that what is measured stays measured, however the run ends?

Comes in: a folder, results. Goes out: a file for each version, complete or not there at all, and what it holds again.

    FOLDER/results/1.79.3.json   a `Measured`, or a `LeftOut`
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from perfgate.atomic_file import write_atomically
from perfgate.errors import BadInput
from perfgate.history.measuring import HostFailed
from perfgate.history.result import LeftOut, Measured, Result

_RESULT: Final[TypeAdapter[Measured | LeftOut]] = TypeAdapter(Measured | LeftOut)
SUBFOLDER: Final = "results"


def write_result(folder: Path, result: Result) -> None:
    """Put a result on the disk; it is there, whole, when this returns.

    Args:
        folder: of the series; made when it is missing.

    Raises:
        HostFailed: the file system refused.
    """
    path = folder / SUBFOLDER / _file_name(result.version)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _RESULT.dump_json(result, indent=1).decode() + "\n")
    except OSError as error:
        raise HostFailed(f"{path} could not be written: {error.strerror}; make room, and run it again") from error


def read_results(folder: Path) -> Mapping[str, Result]:
    """All results of a folder by version; none where there is no folder.

    Raises:
        BadInput: a file is not a result of this version of perfgate.
    """
    found = {}
    for path in sorted((folder / SUBFOLDER).glob("*.json")):
        try:
            result = _RESULT.validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise BadInput(f"{path} is no result of this perfgate: {_first_line(error)}; move it away") from error
        found[result.version] = result
    return found


def checked_folder(folder: Path, option: str) -> Path:
    """A folder that can be written to; made when it is missing.

    Raises:
        BadInput: it cannot be.
    """
    try:
        (folder / SUBFOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{option} {folder}: {error.strerror}; name another folder") from error
    return folder


def _file_name(version: str) -> str:
    """Of a version's name only what any file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", version).strip(".-") + ".json"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
