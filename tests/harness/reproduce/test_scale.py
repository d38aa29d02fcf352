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


def test_users_come_in_as_many_seconds_as_on_the_page() -> None:
    assert [scale_of("auto", cores).users_per_s for cores in (1, 16)] == [31, 500]


def test_there_are_no_more_instances_than_cores_or_on_the_page() -> None:
    assert [scale_of("auto", cores).instances for cores in (1, 3, 16)] == [1, 3, 4]


def test_full_is_the_pages_own_or_nothing() -> None:
    assert scale_of("full", 16) == Scale("full", 16, 1_000, 4)
    with pytest.raises(BadInput, match=r"--scale=full: the page's 4 instances have 16 cores, and gateways have 1 here"):
        scale_of("full", 1)
    with pytest.raises(ValueError, match="cores=0 must be at least 1"):
        scale_of("auto", 0)
