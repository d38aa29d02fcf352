"""Which packages are installed beside each other, and how do two such sets differ?

Comes in: a `site-packages` folder. Goes out: `Packages`: all of them with their versions, and one hash to compare by.
Reads files only: no interpreter of that environment is started.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Packages:
    """Installed packages.

    Args:
        listed: `name==version`, names as the package index spells them, sorted.

    >>> Packages(("h11==0.16.0",)).sha256[:8]
    '4f7d7473'
    """

    listed: tuple[str, ...]

    @classmethod
    def installed_in(cls, site_packages: Path) -> Self:
        """What a `site-packages` folder holds."""
        found = distributions(path=[str(site_packages)])
        return cls(tuple(sorted({f"{normalized(package.name)}=={package.version}" for package in found})))

    @property
    def sha256(self) -> str:
        """Hash of the list: equal for two environments with the same packages."""
        return hashlib.sha256("\n".join(self.listed).encode()).hexdigest()

    @property
    def versions(self) -> dict[str, str]:
        """Version by name."""
        return dict(package.split("==", 1) for package in self.listed)

    def differences(self, other: "Packages") -> list["PackageDifference"]:
        """Every package that is not installed in one version here and there, by name."""
        here, there = self.versions, other.versions
        return [
            PackageDifference(name, here.get(name), there.get(name))
            for name in sorted(here.keys() | there.keys())
            if here.get(name) != there.get(name)
        ]


@dataclass(frozen=True, slots=True)
class PackageDifference:
    """One package in which two sets differ.

    Args:
        name: of the package.
        first, second: its version in each; None where it is not installed.
    """

    name: str
    first: str | None
    second: str | None

    def in_words(self, first: str, second: str) -> str:
        """The difference, with names for the two.

        >>> PackageDifference("httptools", "0.7.1", None).in_words("A", "B")
        'httptools 0.7.1 is installed in A only'
        """
        if self.first is None or self.second is None:
            only = first if self.second is None else second
            return f"{self.name} {self.first or self.second} is installed in {only} only"
        return f"{self.name} is {self.first} in {first}, {self.second} in {second}"


def normalized(name: str) -> str:
    """A package's name in its one spelling."""
    return re.sub(r"[-_.]+", "-", name).lower()
