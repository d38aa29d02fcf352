"""Which packages are installed beside each other?

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
        return cls(tuple(sorted({f"{_normalized(package.name)}=={package.version}" for package in found})))

    @property
    def sha256(self) -> str:
        """Hash of the list: equal for two environments with the same packages."""
        return hashlib.sha256("\n".join(self.listed).encode()).hexdigest()


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
