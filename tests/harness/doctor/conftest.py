"""What the doctor's checks are asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from perfgate.doctor.wanted import Wanted
from perfgate.thresholds import load_thresholds

#: The default profile needs two cores and no service; another needs all there is, and compares.
TEXT = """\
profiles:
  quick: {budget_minutes: 4, on_invalid: warn, scenarios: [overhead]}
  all: {budget_minutes: 9, on_invalid: warn, scenarios: [overhead, database, redis, regression]}
scenarios:
  overhead:
    needs: {cores: 2}
    load: {offered_rps: 40, window_s: 4}
    rounds: {generations: 2, per_generation: 4, per_generation_max: 10}
    limits: {overhead_p95_ms: {max: 60, why: "a reason"}}
  database:
    needs: {services: [postgres]}
    load: {offered_rps: 40, window_s: 4}
    rounds: {generations: 1, per_generation: 4, per_generation_max: 10}
    limits: {overhead_p95_ms: {max: 60, why: "a reason"}}
  redis:
    needs: {cores: 4, services: [redis]}
    load: {offered_rps: 40, window_s: 4}
    rounds: {generations: 1, per_generation: 4, per_generation_max: 10}
    limits: {overhead_p95_ms: {max: 60, why: "a reason"}}
  regression:
    needs: {baseline: true}
    load: {users: 2, window_s: 0.4}
    rounds: {minutes: 5}
    limits: {overhead_p95_ms: {margin: 5%, why: "a reason"}}
apparatus:
  {dispatch_lag_p99_ms: 2, sent_ratio_min: 0.98, generator_cpu_ratio_max: 0.8, direct_p95_above_mock_delay_ms: 5}
"""


@pytest.fixture
def wanted(tmp_path: Path) -> Callable[[str], Wanted]:
    """What a profile of the sample wants."""
    path = tmp_path / "thresholds.yaml"
    path.write_text(TEXT)
    thresholds = load_thresholds(path, ("overhead_p95_ms",))
    return lambda profile: Wanted(thresholds, profile)
