"""Are the right sizes tried, and do ratios between them say what the sizes truly do?"""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.measurement import Measurement, NotMeasured
from perfgate.experiment.metrics import METRICS
from perfgate.experiment.sizes import (
    Size,
    instances_2_to_4_p50_ratio,
    processes_of,
    size_completed_ratio,
    size_error_ratio,
    sizes_of,
    sizes_to_try,
    worker_counts,
    workers_beyond_cores_loss_ratio,
)
from perfgate.load.schedule import ClosedLoop
from perfgate.stack.sources import Release
from tests.harness.synthetic import DIRECT, Truth, load_result, window, window_of

USERS = ClosedLoop(users=32, warm_up_s=1, window_s=4)
ONE, TWO, FOUR, TWO_WORKERS = Size(1, 1), Size(2, 1), Size(4, 1), Size(1, 2)


def arm(size: Size) -> Arm:
    return Arm(size.name, GatewaySpec(Release("1.106.2"), instances=size.instances, workers=size.workers))


def measured(truths: Mapping[Size, Truth], *, rounds: int = 3, generations: int = 2) -> Measurement:
    """Gateways that differ from round to round by a few percent, all sizes alike."""
    windows = []
    for generation in range(generations):
        for number in range(rounds):
            windows.append(window("direct", load_result(1.0), generation=generation, number=number))
            for size, truth in truths.items():
                moment = 1 + 0.02 * ((generation + number) % 3 - 1)
                windows.append(window_of(truth.slower(moment), size.name, generation, number, requests=400))
    return Measurement("instances", (DIRECT, *map(arm, truths)), USERS, tuple(windows), rounds_planned_max=6)


@pytest.mark.parametrize(
    ("cores", "counts"),
    [(1, (1,)), (2, (1, 2)), (4, (1, 2, 3, 4)), (6, (1, 2, 3, 4, 6)), (16, (1, 2, 3, 4, 8, 16))],
)
def test_workers_are_tried_from_one_to_as_many_as_there_are_cores(cores: int, counts: tuple[int, ...]) -> None:
    assert worker_counts(cores) == counts


def test_a_host_without_cores_is_refused() -> None:
    with pytest.raises(ValueError, match="cores=0 must be at least 1"):
        worker_counts(0)


def test_one_two_and_four_instances_are_tried_beside_the_numbers_of_workers() -> None:
    assert sizes_to_try(cores=2, workers=1) == (ONE, TWO_WORKERS, TWO, FOUR)
    assert sizes_to_try(cores=4, workers=4) == (
        *(Size(1, 1), Size(1, 2), Size(1, 3), Size(1, 4)),
        *(Size(2, 4), Size(4, 4)),
    )
    assert processes_of(sizes_to_try(cores=2, workers=1)) == 9


def test_a_size_says_which_cores_it_lacks_and_nothing_where_it_lacks_none() -> None:
    assert Size(4, 2).lacks_cores(8) is None
    assert Size(4, 2).lacks_cores(7) == (
        "4 instances of 2 are 8 processes, and gateways have 7 cores here: they take turns, whatever they could do "
        "side by side"
    )
    assert "gateways have 1 core here" in str(FOUR.lacks_cores(1))


def test_the_arms_of_sizes_are_found_by_their_names() -> None:
    of_two = measured({TWO: Truth(), ONE: Truth()})
    assert sizes_of(of_two) == (ONE, TWO)
    renamed = replace(of_two, arms=(DIRECT, replace(arm(TWO), name="gateway")))
    assert sizes_of(renamed) == ()
    with pytest.raises(NotMeasured, match="no arm is a gateway named by its size, such as 2x1"):
        size_error_ratio(renamed)


def test_half_the_median_with_four_instances_is_a_ratio_of_one_half() -> None:
    ratio = instances_2_to_4_p50_ratio(measured({TWO: Truth(overhead_ms=199), FOUR: Truth(overhead_ms=99)}))
    assert ratio.value == pytest.approx(0.5, rel=0.01)
    assert ratio.low <= ratio.value <= ratio.high
    assert (ratio.metric, ratio.unit) == ("instances_2_to_4_p50_ratio", "")


def test_without_two_and_four_instances_there_is_no_such_ratio() -> None:
    with pytest.raises(NotMeasured, match="2 and 4 instances were not both tried"):
        instances_2_to_4_p50_ratio(measured({ONE: Truth(), TWO: Truth()}))


def test_the_most_workers_are_held_against_the_best_smaller_number() -> None:
    truths = {Size(1, 1): Truth(rps=100), Size(1, 2): Truth(rps=150), Size(1, 4): Truth(rps=120), TWO: Truth(rps=500)}
    loss = workers_beyond_cores_loss_ratio(measured(truths))
    assert loss.value == pytest.approx(1 - 120 / 150, abs=0.001)
    # What moves both sizes cancels: the host, three rounds of which differ by 4 %.
    assert loss.high - loss.low < 0.001


def test_workers_that_gain_lose_less_than_nothing() -> None:
    loss = workers_beyond_cores_loss_ratio(measured({ONE: Truth(rps=100), TWO_WORKERS: Truth(rps=190)}))
    assert loss.value == pytest.approx(-0.9, abs=0.001)


def test_a_size_that_answered_nothing_in_a_round_is_nothing_to_lose_against() -> None:
    both = measured({ONE: Truth(rps=100), TWO_WORKERS: Truth(rps=190)})
    windows = tuple(
        replace(one, load=replace(one.load, succeeded=0)) if (one.arm, one.round) == (ONE.name, 1) else one
        for one in both.windows
    )
    with pytest.raises(NotMeasured, match="in a round no request of arm '1x1' was answered"):
        workers_beyond_cores_loss_ratio(replace(both, windows=windows))


def test_one_number_of_workers_cannot_be_the_worse_one() -> None:
    with pytest.raises(NotMeasured, match="fewer than two numbers of workers were tried"):
        workers_beyond_cores_loss_ratio(measured({ONE: Truth(), TWO: Truth()}))


def test_errors_are_those_of_the_worst_size() -> None:
    failing = measured({ONE: Truth(), TWO: Truth(failed=40)})
    assert size_error_ratio(failing).value == pytest.approx(0.1)
    assert size_error_ratio(measured({ONE: Truth(failed=20), TWO: Truth()})).value == pytest.approx(0.05)


def test_replies_in_time_are_those_of_the_worst_size() -> None:
    late = measured({ONE: Truth(), TWO: Truth()})
    windows = tuple(
        replace(one, load=replace(one.load, completed=one.load.sent // 2)) if one.arm == TWO.name else one
        for one in late.windows
    )
    assert size_completed_ratio(replace(late, windows=windows)).value == pytest.approx(0.5)


def test_a_metric_of_all_arms_reads_every_gateway_and_none_is_said() -> None:
    metric = METRICS["workers_beyond_cores_loss_ratio"]
    of_two = measured({ONE: Truth(), TWO: Truth()})
    assert metric.arms_of(of_two) == ("1x1", "2x1")
    with pytest.raises(NotMeasured, match="no arm has a gateway"):
        metric.arms_of(replace(of_two, arms=(DIRECT,)))
