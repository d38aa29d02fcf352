"""With which versions are verdicts computed here?

Goes out: versions by name, for the record. Intervals are drawn by numpy's generator, whose streams another version of
it may change; whoever judges a record again wants to know. Imports nothing of ours but the version.
"""

import platform
from importlib.metadata import version
from typing import Final

from perfgate import __version__

#: What figures, intervals and histograms come from.
PACKAGES: Final = ("numpy", "scipy", "hdrhistogram")


def versions_here() -> dict[str, str]:
    """Of perfgate, Python and `PACKAGES`.

    >>> list(versions_here())
    ['perfgate', 'python', 'numpy', 'scipy', 'hdrhistogram']
    """
    return {
        "perfgate": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }
