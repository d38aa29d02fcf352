"""How are the files of a sign-off kept together: as a folder, or as one .tar?

Comes in: files by name, names with `/` for folders. Goes out: the folder or the tar with the SHA-256 of each in
`SHA256SUMS`, in the form that `sha256sum --check` reads; and the files again. What they mean is not known here.

A tar is read in memory and never unpacked, so that no name in it can lead anywhere.
"""

import hashlib
import io
import re
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from perfgate.atomic_file import write_atomically
from perfgate.errors import BadInput, StackFailed

#: The file of the sums; it is in no line of its own.
SUMS: Final = "SHA256SUMS"
TAR_SUFFIX: Final = ".tar"

_SUM_LINE: Final = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<name>.+)")


@dataclass(frozen=True, slots=True)
class Sums:
    """What `SHA256SUMS` says.

    Args:
        by_name: the sum of each file.
        unread: numbers of lines that are none of its own, from 1.
    """

    by_name: Mapping[str, str]
    unread: tuple[int, ...]


def sha256_of(content: bytes) -> str:
    """The sum of a file, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def with_sums(files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """The files, and the sum of each."""
    lines = [f"{sha256_of(content)}  {name}\n" for name, content in sorted(files.items())]
    return {**files, SUMS: "".join(lines).encode()}


def sums_of(content: bytes) -> Sums:
    """What the file of the sums says."""
    by_name: dict[str, str] = {}
    unread: list[int] = []
    for number, line in enumerate(content.decode("utf-8", errors="replace").removesuffix("\n").split("\n"), 1):
        found = _SUM_LINE.fullmatch(line)
        if found is None:
            unread.append(number)
        else:
            by_name[found["name"]] = found["sha256"]
    return Sums(by_name, tuple(unread))


def check_is_free(path: Path) -> None:
    """See that a bundle can be written there, before anything is made for it.

    Raises:
        BadInput: there is something already.
    """
    if path.exists() or path.is_symlink():
        raise BadInput(
            f"{path} is there already: name another --output, or take it away; a bundle is never written over"
        )


def write_bundle(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a bundle, whole or not at all.

    Args:
        path: of the folder, or of a tar where it ends in `.tar`; the folder around it is made.
        files: by name; the sums are added.

    Raises:
        BadInput: there is something already.
        StackFailed: the file system refused; nothing is left of it.
    """
    check_is_free(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == TAR_SUFFIX:
            write_atomically(path, _tar(with_sums(files)))
        else:
            _write_folder(path, with_sums(files))
    except OSError as error:
        raise StackFailed(
            f"the bundle {path} cannot be written: {error.strerror}; make room, or name another"
        ) from error


def read_bundle(path: Path) -> Mapping[str, bytes]:
    """The files of a bundle by name, whatever is in them.

    Raises:
        BadInput: there is none, it cannot be read, or it holds something else than plain files.
    """
    try:
        if path.is_dir():
            return _read_folder(path)
        with tarfile.open(path, "r:") as tar:
            return _read_tar(path, tar)
    except tarfile.TarError as error:
        raise BadInput(
            f"{path} is neither the folder nor the whole .tar of a bundle ({error}): `perfgate signoff` makes bundles; "
            "of one that was cut short take another copy"
        ) from error
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error


def _write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.partial-", dir=path.parent))
    try:
        for name, content in files.items():
            file = partial / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        partial.chmod(0o755)
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _tar(files: Mapping[str, bytes]) -> bytes:
    """Nothing of who made it, or when, is in it: equal files make equal tars."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def _read_folder(folder: Path) -> Mapping[str, bytes]:
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BadInput(f"{folder} holds {name}, which is not a plain file: no bundle has such")
        if path.is_file():
            files[name] = path.read_bytes()
    return files


def _read_tar(path: Path, tar: tarfile.TarFile) -> Mapping[str, bytes]:
    files: dict[str, bytes] = {}
    for member in tar:
        name = PurePosixPath(member.name).as_posix()
        if member.isdir():
            continue
        content = tar.extractfile(member) if member.isreg() else None
        if content is None or name in files:
            why = "is there twice" if name in files else "is not a plain file"
            raise BadInput(f"{path} holds {name}, which {why}: no bundle has such")
        files[name] = content.read()
    return files
