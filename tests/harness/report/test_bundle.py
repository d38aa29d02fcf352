"""Are the files of a bundle those that were put into it, and is everything else refused?"""

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from perfgate.errors import BadInput, StackFailed
from perfgate.report.bundle import SUMS, read_bundle, sha256_of, sums_of, with_sums, write_bundle

FILES = {"page.md": b"# a page\n", "records/01-a.json": b"{}", "thresholds.yaml": "größer: 1\n".encode()}


@pytest.mark.parametrize("name", ["bundle", "bundle.tar", "deep/er/bundle.tar", "deep/er/bundle"])
def test_what_was_written_is_read_with_its_sums(tmp_path: Path, name: str) -> None:
    write_bundle(tmp_path / name, FILES)
    assert read_bundle(tmp_path / name) == with_sums(FILES)
    assert (tmp_path / name).is_dir() == (not name.endswith(".tar"))


def test_the_sum_of_every_file_is_in_a_line() -> None:
    sums = sums_of(with_sums(FILES)[SUMS])
    assert dict(sums.by_name) == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    assert sums.unread == ()
    assert sha256_of(b"") == hashlib.sha256(b"").hexdigest()


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="this host has no sha256sum")
def test_the_sums_are_what_sha256sum_reads(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", FILES)
    check = ["sha256sum", "--check", "--strict", SUMS]
    assert subprocess.run(check, cwd=tmp_path / "bundle", capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "line", ["", "0" * 64, "0" * 63 + "  a", "0" * 64 + " a", "G" * 64 + "  a", "é" * 64 + "  a"], ids=repr
)
def test_a_line_that_is_no_sum_is_counted(line: str) -> None:
    sums = sums_of(f"{'1' * 64}  a\n{line}\n".encode())
    assert (dict(sums.by_name), sums.unread) == ({"a": "1" * 64}, (2,))


def test_a_line_ends_where_it_ends() -> None:
    """Not at a byte that some take for the end of a line, too."""
    (name,) = sums_of(f"{'1' * 64}  a\x0b{'2' * 64}  b\n".encode()).by_name
    assert name == f"a\x0b{'2' * 64}  b"


def test_equal_files_make_equal_tars(tmp_path: Path) -> None:
    write_bundle(tmp_path / "a.tar", FILES)
    write_bundle(tmp_path / "b.tar", dict(reversed(FILES.items())))
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


@pytest.mark.parametrize("name", ["bundle", "bundle.tar"])
def test_what_is_there_is_never_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(BadInput, match=f"{name} is there already: name another --output, or take it away"):
        write_bundle(tmp_path / name, FILES)
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["bundle", "bundle.tar"])
def test_where_the_file_system_refuses_nothing_is_left(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(28, os.strerror(28))

    for method in ("rename", "replace"):
        monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(StackFailed, match=f"the bundle .*{name} cannot be written: No space left on device"):
        write_bundle(tmp_path / name, FILES)
    assert list(tmp_path.iterdir()) == []


# --- what is no bundle ---


def test_where_there_is_nothing_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere: cannot be read \(No such file or directory\)"):
        read_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [b"", b"{}", b"x" * 2000], ids=["empty", "JSON", "anything"])
def test_a_file_that_is_no_tar_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(BadInput, match=r"a is neither the folder nor the whole \.tar of a bundle"):
        read_bundle(tmp_path / "a")


def test_a_tar_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "whole.tar", {"big": os.urandom(5000), **FILES})
    (tmp_path / "cut.tar").write_bytes((tmp_path / "whole.tar").read_bytes()[:3000])
    with pytest.raises(BadInput, match=r"cut\.tar is neither .*; of one that was cut short take another copy"):
        read_bundle(tmp_path / "cut.tar")


def test_a_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", FILES)
    (tmp_path / "bundle/more").symlink_to("/etc/passwd")
    with pytest.raises(BadInput, match="holds more, which is not a plain file"):
        read_bundle(tmp_path / "bundle")


def a_tar(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size = kind, link, 1 if kind == tarfile.REGTYPE else 0
    return found


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ((member("a", tarfile.SYMTYPE, "/etc/passwd"),), "holds a, which is not a plain file"),
        ((member("a", tarfile.LNKTYPE, "b"),), "holds a, which is not a plain file"),
        ((member("a", tarfile.FIFOTYPE),), "holds a, which is not a plain file"),
        ((member("a"), member("a")), "holds a, which is there twice"),
        ((member("a"), member("./a")), "holds a, which is there twice"),
    ],
    ids=["symbolic link", "hard link", "pipe", "twice", "twice by another name"],
)
def test_a_tar_of_anything_but_plain_files_is_refused(
    tmp_path: Path, members: tuple[tarfile.TarInfo, ...], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        read_bundle(a_tar(tmp_path / "a.tar", *members))


def test_a_name_that_leads_elsewhere_leads_nowhere(tmp_path: Path) -> None:
    path = a_tar(tmp_path / "a.tar", member("../../escaped"), member("dir", tarfile.DIRTYPE))
    assert read_bundle(path) == {"../../escaped": b"x"}
    assert not (tmp_path.parent / "escaped").exists()
