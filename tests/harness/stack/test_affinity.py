"""Is the gateway kept apart from the apparatus as far as the cores go?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfgate.stack.affinity import CorePlan, plan_cores


@pytest.mark.parametrize(
    ("allowed", "plan"),
    [
        ({3}, CorePlan((), (), (), "not pinned: gateway, generator and mock share the only core, 3")),
        ({0, 1}, CorePlan((1,), (0,), (0,), "pinned: generator and mock share core 0, gateway on 1")),
        ({2, 5, 7}, CorePlan((7,), (2,), (5,), "pinned: generator on core 2, mock on 5, gateway on 7")),
        ({0, 1, 2, 3}, CorePlan((2, 3), (0,), (1,), "pinned: generator on core 0, mock on 1, gateway on 2, 3")),
    ],
    ids=["one_core", "two_cores", "three_cores", "four_cores"],
)
def test_the_plan_for(allowed: set[int], plan: CorePlan) -> None:
    assert plan_cores(allowed) == plan


@pytest.mark.parametrize(
    ("cores", "generators", "of_generator", "mock", "gateway"),
    [
        (4, 2, (0,), 1, (2, 3)),
        (6, 2, (0, 1), 2, (3, 4, 5)),
        (8, 2, (0, 1), 2, (3, 4, 5, 6, 7)),
        (8, 9, (0, 1, 2), 3, (4, 5, 6, 7)),
        (8, 0, (0,), 1, (2, 3, 4, 5, 6, 7)),
    ],
)
def test_several_generators_get_cores_of_their_own_while_half_are_left_for_the_gateway(
    cores: int, generators: int, of_generator: tuple[int, ...], mock: int, gateway: tuple[int, ...]
) -> None:
    plan = plan_cores(range(cores), generators)
    assert (plan.generator, plan.mock, plan.gateway) == (of_generator, (mock,), gateway)


def test_the_plan_names_all_cores_of_the_generators() -> None:
    assert plan_cores(range(6), 2).why == "pinned: generator on cores 0, 1, mock on 2, gateway on 3, 4, 5"


@given(st.sets(st.integers(0, 255), min_size=2), st.integers(1, 9))
def test_with_two_cores_or_more_the_gateway_shares_none_and_none_is_left_idle(
    allowed: set[int], generators: int
) -> None:
    plan = plan_cores(allowed, generators)
    assert plan.is_pinned
    assert not set(plan.gateway) & {*plan.generator, *plan.mock}
    assert {*plan.gateway, *plan.generator, *plan.mock} == allowed


def test_one_core_is_not_pinned() -> None:
    assert not plan_cores([0]).is_pinned


def test_no_core_is_refused() -> None:
    with pytest.raises(ValueError, match=r"allowed=set\(\) must hold at least one core"):
        plan_cores(set())
