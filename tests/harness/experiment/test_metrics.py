"""Do limits tell which arms a scenario measures, so that time can be kept for all of them?"""

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Final

import pytest

from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.metrics import METRICS, arms_of_limits, gateways_of_limits
from perfgate.experiment.sizes import sizes_to_try
from perfgate.plugin import Stack
from perfgate.stack.sources import Release
from perfgate.thresholds import Rounds, load_thresholds

ROOT: Final = Path(__file__).parents[3]
SHIPPED: Final = load_thresholds(ROOT / "thresholds.yaml", METRICS, FIGURES)
#: Scenarios whose rounds have as many windows as there are arms.
COUNTED: Final = [
    name
    for name, scenario in SHIPPED.scenarios.items()
    if isinstance(scenario.rounds, Rounds) and scenario.load.requests is None
]


@dataclass
class Recorder:
    """In the place of `rounds`: knows what it was asked to measure."""

    arms: tuple[Arm, ...] = ()

    def run(self, arms: Sequence[Arm], **_: Any) -> None:
        self.arms = tuple(arms)


def perf_test_of(scenario: str) -> ModuleType:
    for path in sorted((ROOT / "tests/perf").glob("test_*.py")):
        module = importlib.import_module(f"tests.perf.{path.stem}")
        marker = getattr(module, "pytestmark", None)
        if marker is not None and marker.args == (scenario,):
            return module
    raise LookupError(f"no file in tests/perf is of the scenario {scenario}")


def stack(cores: int) -> Stack:
    """What has settings and a host, and nothing else of a session."""
    settings = SimpleNamespace(
        gateway=GatewaySpec(Release("1.106.2")), baseline=None, model="asked", direct_model="upstream"
    )
    asked = SimpleNamespace(host=SimpleNamespace(cores_allowed=cores))
    run: Any = SimpleNamespace(settings=settings, asked=asked, thresholds=SHIPPED)
    nothing: Any = None
    return Stack(run, nothing, nothing)


@pytest.mark.parametrize("cores", [2, 6])
@pytest.mark.parametrize("scenario", COUNTED)
def test_limits_tell_the_arms_and_gateways_that_the_perf_test_measures(
    scenario: str, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plenty = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=2**40))
    monkeypatch.setattr("perfgate.plugin.psutil", plenty)
    recorder = Recorder()
    given = {"stack": stack(cores), "rounds": recorder, "scenario": scenario}
    measured = inspect.unwrap(perf_test_of(scenario).measured)
    measured(**{name: given[name] for name in inspect.signature(measured).parameters})
    sizes = [size.name for size in sizes_to_try(cores, workers=1)]
    limits = SHIPPED.scenarios[scenario].limits
    told = arms_of_limits(limits, sizes)
    assert sorted(told) == sorted(arm.name for arm in recorder.arms)
    by_name = {arm.name: arm.gateway for arm in recorder.arms if arm.gateway is not None}
    served = gateways_of_limits(limits, sizes)
    gateways = [by_name[name] for name in served]
    assert len(set(gateways)) == len(gateways) == len(set(by_name.values()))
    asked = {(arm.gateway, arm.api) for arm in recorder.arms if arm.gateway is not None}
    assert sum(served.values()) == len(asked)
    # The plan of time takes the first for the one with a database, where PostgreSQL is needed.
    needs_database = "postgres" in SHIPPED.scenarios[scenario].needs.services
    assert [spec.database for spec in gateways] == [needs_database, *(False for _ in gateways[1:])]


def test_every_kind_of_counted_scenario_is_among_them() -> None:
    assert {"overhead", "endpoints", "database", "redis", "instances", "gateways"} <= set(COUNTED)


def test_one_request_at_a_time_goes_with_a_gateway_and_without() -> None:
    assert arms_of_limits(SHIPPED.scenarios["single_request"].limits) == ("direct", "gateway")
