"""Is a run scaled by the host's cores, and refused where it would only be called the page's?"""

import pytest

from perfgate.errors import BadInput
from perfgate.reproduce.scale import Scale, scale_of


@pytest.mark.parametrize(
    ("cores", "scale"),
    [
        (1, Scale("auto", 1, 62, 1)),
        (6, Scale("auto", 6, 375, 1)),
        (16, Scale("auto", 16, 1_000, 4)),
        (30, Scale("auto", 16, 1_000, 4)),
    ],
)
def test_users_are_as_many_for_a_core_as_the_page_has(cores: int, scale: Scale) -> None:
    assert scale_of("auto", cores) == scale
    assert scale.is_published == (cores >= 16)


def test_full_is_the_pages_own_or_nothing() -> None:
    assert scale_of("full", 16) == Scale("full", 16, 1_000, 4)
    with pytest.raises(BadInput, match=r"--scale=full: the page's 4 instances have 16 cores, and gateways have 1 here"):
        scale_of("full", 1)
    with pytest.raises(ValueError, match="cores=0 must be at least 1"):
        scale_of("auto", 0)
