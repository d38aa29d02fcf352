"""Do limits carry over to another host by its measured speed, and is a host that is too different refused?"""

import pytest

from perfgate.host_limits import AS_THEY_STAND, HostStanding, NotForThisHost, limit_here, standing
from perfgate.thresholds import HostClass, Limit

LIMIT = Limit("overhead_p95_ms", "a reason", "thresholds.yaml", 7, maximum=25.0, maximum_on={"github": 40.0})
CLASSES = {
    "reference": HostClass(cores=2, memory_gib=8, cpu_models=("A*",), backend="processes", host_speed_ms=10.0),
    "github": HostClass(cores=4, memory_gib=16, cpu_models=("B*",), backend="processes", host_speed_ms=15.0),
}


def elsewhere(median_ms: float) -> HostStanding:
    return standing(None, CLASSES, median_ms)


def test_on_its_own_class_a_limit_holds_as_it_stands_however_fast_the_host() -> None:
    assert limit_here(LIMIT, standing("reference", CLASSES, 17.0)) == LIMIT


def test_a_class_may_have_a_maximum_of_its_own() -> None:
    here = limit_here(LIMIT, standing("github", CLASSES, 15.0))
    assert (here.maximum, here.basis) == (40.0, "max_on github")


def test_on_another_host_a_limit_scales_with_the_time_for_the_same_work_and_says_so() -> None:
    here = limit_here(LIMIT, elsewhere(13.0))
    assert here.maximum == pytest.approx(32.5)
    assert here.basis == "25 scaled ×1.30, this host is not in thresholds.yaml; `perfgate calibrate` adds it"


def test_a_throughput_is_expected_to_be_lower_where_work_takes_longer() -> None:
    at_least = Limit("throughput_rps", "a reason", "thresholds.yaml", 7, minimum=100.0)
    assert limit_here(at_least, elsewhere(20.0)).minimum == pytest.approx(50.0)


@pytest.mark.parametrize("metric", ["error_ratio", "completed_ratio", "rss_growth_mib_per_1000_requests"])
def test_what_does_not_depend_on_speed_is_not_scaled(metric: str) -> None:
    limit = Limit(metric, "a reason", "thresholds.yaml", 7, maximum=1.0)
    assert limit_here(limit, elsewhere(40.0)) == limit


@pytest.mark.parametrize("median_ms", [4.9, 20.1])
def test_a_host_that_is_too_different_is_refused_with_its_index(median_ms: float) -> None:
    with pytest.raises(NotForThisHost, match=rf"takes {median_ms / 10:.2f} times as long as reference"):
        limit_here(LIMIT, elsewhere(median_ms))


@pytest.mark.parametrize("median_ms", [5.0, 20.0])
def test_the_ends_of_the_range_still_carry_over(median_ms: float) -> None:
    assert limit_here(LIMIT, elsewhere(median_ms)).maximum == pytest.approx(2.5 * median_ms)


def test_without_a_measured_speed_in_the_file_nothing_can_be_scaled() -> None:
    unmeasured = {"reference": CLASSES["reference"].model_copy(update={"host_speed_ms": None})}
    with pytest.raises(NotForThisHost, match="none of them has a host_speed_ms"):
        limit_here(LIMIT, standing(None, unmeasured, 12.0))


def test_a_file_without_hosts_means_its_limits_everywhere() -> None:
    assert limit_here(LIMIT, standing(None, {}, 12.0)) == LIMIT
    assert standing(None, {}, 12.0) == AS_THEY_STAND


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (AS_THEY_STAND, "thresholds.yaml names no hosts: limits hold as they stand"),
        (
            standing("github", CLASSES, 18.0),
            "host class github; it takes 1.20 times as long as github for the same work",
        ),
        (
            elsewhere(13.0),
            (
                "this host is in no class of thresholds.yaml (hosts); it takes 1.30 times as long as reference for the "
                "same work; `perfgate calibrate` adds it"
            ),
        ),
    ],
)
def test_the_standing_is_said_in_one_line(host: HostStanding, words: str) -> None:
    assert host.words == words
