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


@given(st.sets(st.integers(0, 255), min_size=2))
def test_with_two_cores_or_more_the_gateway_shares_none_and_none_is_left_idle(allowed: set[int]) -> None:
    plan = plan_cores(allowed)
    assert plan.is_pinned
    assert not set(plan.gateway) & {*plan.generator, *plan.mock}
    assert {*plan.gateway, *plan.generator, *plan.mock} == allowed


def test_one_core_is_not_pinned() -> None:
    assert not plan_cores([0]).is_pinned


def test_no_core_is_refused() -> None:
    with pytest.raises(ValueError, match=r"allowed=set\(\) must hold at least one core"):
        plan_cores(set())
