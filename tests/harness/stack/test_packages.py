"""Are two environments with the same packages, and no others, told to be equal?"""

import hashlib
import sysconfig
from importlib.metadata import version
from pathlib import Path

from perfgate.stack.packages import PackageDifference, Packages


def install(site_packages: Path, name: str, version: str) -> None:
    folder = site_packages / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_packages_are_listed_by_normal_name_and_sorted(tmp_path: Path) -> None:
    install(tmp_path, "Typing_Extensions", "4.1")
    install(tmp_path, "aiohttp", "3.14.5")
    assert Packages.installed_in(tmp_path).listed == ("aiohttp==3.14.5", "typing-extensions==4.1")


def test_the_hash_is_that_of_the_list() -> None:
    packages = Packages(("a==1", "b==2"))
    assert packages.sha256 == hashlib.sha256(b"a==1\nb==2").hexdigest()
    assert packages.sha256 != Packages(("a==1", "b==3")).sha256


def test_every_difference_is_named_and_nothing_else() -> None:
    first, second = Packages(("a==1", "b==1", "c==1")), Packages(("b==2", "c==1", "d==1"))
    assert first.differences(second) == [
        PackageDifference("a", "1", None),
        PackageDifference("b", "1", "2"),
        PackageDifference("d", None, "1"),
    ]
    assert first.differences(first) == []


def test_a_difference_is_said_in_words() -> None:
    first, second = Packages(("a==1", "b==1")), Packages(("b==2", "d==1"))
    assert [difference.in_words("baseline", "candidate") for difference in first.differences(second)] == [
        "a 1 is installed in baseline only",
        "b is 1 in baseline, 2 in candidate",
        "d 1 is installed in candidate only",
    ]


def test_our_own_environment_can_be_read() -> None:
    packages = Packages.installed_in(Path(sysconfig.get_path("purelib")))
    assert f"httpx=={version('httpx')}" in packages.listed
