"""Is the measurement that a record tells of the one that was made, in all that verdicts read?"""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import BaseModel

from perfgate.errors import BadInput
from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.measurement import (
    FaultCycle,
    GatewayUse,
    LedgerUse,
    Measurement,
    SinkUse,
    Trial,
    Window,
)
from perfgate.load.result import LoadResult
from perfgate.record import (
    FaultCycleRecord,
    GatewayUseRecord,
    LedgerUseRecord,
    LoadRecord,
    MeasurementRecord,
    SinkUseRecord,
    TrialRecord,
    WindowRecord,
)
from perfgate.record_entries import measurement_record
from perfgate.recorded_measurement import measurement_of
from perfgate.stack.sources import Checkout, GitRef, Release, RunningUrl, Source
from perfgate.stats.resampling import LOOKS_MAX
from tests.harness import synthetic
from tests.harness.recorded_runs import ALL_KINDS

#: Of a search the record has the objective, and failed replies have a file of their own.
ELSEWHERE: Final[dict[Any, set[str]]] = {Measurement: {"objective"}, LoadResult: {"failed_replies"}}
MADE_OF_THE_REST: Final[dict[Any, set[str]]] = {MeasurementRecord: {"search", "gateways"}}


@pytest.mark.parametrize("scenario", list(ALL_KINDS))
def test_a_measurement_of_every_kind_is_read_as_it_was_made(scenario: str) -> None:
    measured = ALL_KINDS[scenario]()
    kept = MeasurementRecord.model_validate_json(measurement_record(measured).model_dump_json())
    assert measurement_of(kept) == measured


@pytest.mark.parametrize(
    ("made", "kept"),
    [
        (Measurement, MeasurementRecord),
        (Window, WindowRecord),
        (LoadResult, LoadRecord),
        (GatewayUse, GatewayUseRecord),
        (LedgerUse, LedgerUseRecord),
        (SinkUse, SinkUseRecord),
        (FaultCycle, FaultCycleRecord),
        (Trial, TrialRecord),
    ],
)
def test_nothing_of_a_measurement_is_left_out_of_the_record(made: Any, kept: type[BaseModel]) -> None:
    named = {field.name for field in fields(made)} - ELSEWHERE.get(made, set())
    assert named == set(kept.model_fields) - MADE_OF_THE_REST.get(kept, set())


def read_again(gateway: GatewaySpec) -> GatewaySpec:
    measured = replace(synthetic.measurement(rounds=1), arms=(synthetic.DIRECT, Arm("gateway", gateway)))
    again = measurement_of(measurement_record(measured)).arms[1].gateway
    assert again is not None
    return again


def test_a_gateway_has_all_that_it_was_asked_for_with() -> None:
    gateway = GatewaySpec(
        Release("1.106.2"),
        deps="of-its-time",
        workers=2,
        instances=3,
        faults=True,
        config_path=Path("config.yaml"),
        backend="containers",
        cpus_per_instance=1.5,
        memory_per_instance_bytes=2**30,
        apart="baseline",
    )
    assert read_again(gateway) == gateway
    added = GatewaySpec(Release("1.106.2"), "today", with_packages=("httptools",), callback_fault="burns 1 ms")
    assert read_again(added) == added


@pytest.mark.parametrize(
    ("source", "again"),
    [
        (RunningUrl("http://127.0.0.1:4000", "A_KEY"), RunningUrl("http://127.0.0.1:4000")),
        (GitRef("git@host:x/y", "main", "5" * 40), GitRef("git@host:x/y", "5" * 40, "5" * 40)),
        (
            Checkout(Path("/nowhere/litellm"), "../litellm", "abc", None, is_dirty=True),
            Checkout(Path("../litellm"), "../litellm", ""),
        ),
    ],
    ids=["a gateway that runs", "a commit", "a folder that is not here"],
)
def test_of_other_sources_there_is_what_the_record_says(source: Source, again: Source) -> None:
    assert read_again(GatewaySpec(source)).source == again


def test_a_direct_arm_asks_the_mock_that_it_asked() -> None:
    direct = Arm("direct", None, "big", direct_on="containers")
    measured = replace(synthetic.measurement(rounds=1), arms=(direct, synthetic.GATEWAY))
    assert measurement_of(measurement_record(measured)).arms[0] == direct


def test_a_histogram_that_none_wrote_is_said_with_its_window() -> None:
    kept = measurement_record(synthetic.measurement(rounds=1))
    load = kept.windows[1].load.model_copy(update={"latency": "HISTFAAA"})
    windows = [kept.windows[0], kept.windows[1].model_copy(update={"load": load}), *kept.windows[2:]]
    with pytest.raises(BadInput, match="overhead: what was measured cannot be read: the window of arm direct in gener"):
        measurement_of(kept.model_copy(update={"windows": windows}))


def test_a_load_that_cannot_be_sent_is_said() -> None:
    kept = measurement_record(synthetic.measurement(rounds=1))
    assert kept.schedule is not None
    changed = kept.schedule.model_copy(update={"window_s": -1.0})
    with pytest.raises(BadInput, match=r"overhead: what was measured cannot be read: window_s=-1\.0 must be above 0"):
        measurement_of(kept.model_copy(update={"schedule": changed}))


@pytest.mark.parametrize(("look", "looks"), [(0, 3), (4, 3), (0, 0), (1, LOOKS_MAX + 1)])
def test_looks_that_no_run_takes_are_said(look: int, looks: int) -> None:
    kept = measurement_record(synthetic.measurement(rounds=1)).model_copy(update={"look": look, "looks": looks})
    with pytest.raises(
        BadInput, match=f"overhead: what was measured cannot be read: look={look} of looks={looks} must"
    ):
        measurement_of(kept)
