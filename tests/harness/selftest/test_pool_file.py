"""Does a batch come back from its file as it was, and is anything else refused in words?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perfgate.errors import BadInput
from perfgate.experiment.comparison import FIGURES
from perfgate.load.result import ErrorCount
from perfgate.selftest.doses import DOSES, FIRST, LASTING, LEAK, SECOND, SIDES, arm_name
from perfgate.selftest.pool_file import arms_of, read_batch, write_batch
from tests.harness.selftest.conftest import FACTS, batch


def test_what_was_written_gives_the_same_figures_window_by_window(tmp_path: Path) -> None:
    made = batch(pairs=2, rounds=3)
    write_batch(tmp_path / "batch-1.npz", FACTS, made.windows)
    facts, found = read_batch(tmp_path / "batch-1.npz")
    assert facts == FACTS
    assert found.arms == made.arms
    assert (found.schedule, found.direct_schedule) == (made.schedule, made.direct_schedule)
    direct = [window for window in made.windows if window.gateway is None]
    for before, after in zip(made.windows, found.windows, strict=True):
        place = (before.arm, before.generation, before.round, before.position, before.seed)
        assert (after.arm, after.generation, after.round, after.position, after.seed) == place
        assert after.load.latency == before.load.latency
        assert after.load.dispatch_lag == before.load.dispatch_lag
        assert after.load.generator_cpu_ratio == pytest.approx(before.load.generator_cpu_ratio)
        assert after.load.sent_ratio == before.load.sent_ratio
        if before.gateway is not None:
            for metric, figure in FIGURES.items():
                assert figure([after], direct) == pytest.approx(figure([before], direct)), metric


def test_requests_that_failed_are_still_counted(tmp_path: Path) -> None:
    window = batch(pairs=1, rounds=1).windows[1]
    failed = replace(window.load, succeeded=97, errors=(ErrorCount("http_500", 3, "500 boom"),))
    write_batch(tmp_path / "batch-1.npz", FACTS, [replace(window, load=failed)])
    (found,) = read_batch(tmp_path / "batch-1.npz")[1].windows
    assert found.load.error_ratio == failed.error_ratio
    assert [(error.kind, error.count) for error in found.load.errors] == [("failed", 3)]


def test_both_sides_of_a_pair_serve_all_doses_but_those_that_last() -> None:
    by_name = {arm.name: arm for arm in arms_of("1.79.3")}
    ending = [dose for dose in DOSES if not dose.has_own_processes]
    names = [arm_name(side, dose) for side in SIDES for dose in ending]
    assert by_name.keys() == {"direct", *names, arm_name(LASTING, LEAK)}
    of_side = {side: {by_name[arm_name(side, dose)].gateway for dose in ending} for side in SIDES}
    assert [len(gateways) for gateways in of_side.values()] == [1, 1]
    assert len({*of_side[FIRST], *of_side[SECOND], by_name[arm_name(LASTING, LEAK)].gateway}) == 3
    assert all(arm.gateway is None or arm.gateway.faults for arm in by_name.values())


def test_what_is_no_batch_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "batch-1.npz"
    with pytest.raises(BadInput, match=r"batch-1.npz is not a batch of a pool: .*No such file"):
        read_batch(path)
    path.write_text("nothing of the kind")
    with pytest.raises(BadInput, match=r"batch-1.npz is not a batch of a pool: "):
        read_batch(path)
    np.savez(path, windows=np.zeros(3))
    with pytest.raises(BadInput, match=r"is not a batch of a pool: .*facts"):
        read_batch(path)


def test_a_batch_of_doses_that_are_not_known_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "batch-1.npz"
    arms = ("direct", "something else")
    windows = [replace(batch(1, 1).windows[1], arm="something else")]
    write_batch(path, replace(FACTS, arms=arms), windows)
    with pytest.raises(BadInput, match=r"other doses or columns than this perfgate's"):
        read_batch(path)


def test_a_batch_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "batch-1.npz").mkdir()
    with pytest.raises(OSError, match="batch-1"):
        write_batch(tmp_path / "batch-1.npz", FACTS, batch(1, 1).windows)
    assert [path.name for path in tmp_path.iterdir()] == ["batch-1.npz"]
