"""Are the versions those of what runs here?"""

import platform

import numpy as np
import scipy

from perfgate import __version__
from perfgate.versions import versions_here


def test_they_are_what_runs_here() -> None:
    found = versions_here()
    assert (found["perfgate"], found["python"]) == (__version__, platform.python_version())
    assert (found["numpy"], found["scipy"]) == (np.__version__, scipy.__version__)
