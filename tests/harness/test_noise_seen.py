"""Does the next comparison know how noisy the last one of its kind was, and does nothing ever fail by it?"""

from pathlib import Path
from typing import Final

import pytest

from perfgate.experiment.comparison_plan import NOISE
from perfgate.noise_seen import FILE, LEAST_RATIO, Kind, keep, last_seen
from perfgate.stats.comparison import Noise

HERE: Final = Kind("AMD EPYC 7763", "processes", "2 users for 0.4 s")
LOUD: Final = Noise(process_sd=0.05, round_sd=0.3)
WHEN: Final = "2026-01-01T00:00:00+00:00"


def test_what_was_kept_is_seen_and_the_last_one_counts(tmp_path: Path) -> None:
    assert last_seen(tmp_path, HERE, NOISE) is None
    keep(tmp_path, HERE, Noise(0.9, 0.9), WHEN)
    keep(tmp_path, HERE, LOUD, WHEN)
    assert last_seen(tmp_path, HERE, NOISE) == LOUD


@pytest.mark.parametrize(
    "other",
    [
        Kind("Intel Xeon", HERE.backend, HERE.load),
        Kind(HERE.cpu_model, "containers", HERE.load),
        Kind(HERE.cpu_model, HERE.backend, "2 users for 4 s"),
    ],
    ids=str,
)
def test_comparisons_of_another_kind_are_kept_apart(tmp_path: Path, other: Kind) -> None:
    keep(tmp_path, HERE, LOUD, WHEN)
    assert last_seen(tmp_path, other, NOISE) is None
    keep(tmp_path, other, Noise(0.07, 0.4), WHEN)
    assert (last_seen(tmp_path, HERE, NOISE), last_seen(tmp_path, other, NOISE)) == (LOUD, Noise(0.07, 0.4))


def test_one_quiet_run_may_have_been_luck(tmp_path: Path) -> None:
    keep(tmp_path, HERE, Noise(process_sd=0.0, round_sd=0.001), WHEN)
    assert last_seen(tmp_path, HERE, NOISE) == Noise(LEAST_RATIO * NOISE.process_sd, LEAST_RATIO * NOISE.round_sd)


def test_what_is_little_is_so_beside_what_such_windows_are_expected_to_show(tmp_path: Path) -> None:
    long_windows = Noise(process_sd=0.02, round_sd=0.04)
    keep(tmp_path, HERE, Noise(process_sd=0.015, round_sd=0.03), WHEN)
    assert last_seen(tmp_path, HERE, long_windows) == Noise(0.015, 0.03)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"by_kind": {"x": {"process_sd": "much"}}}', b"[]"])
def test_a_file_that_cannot_be_read_is_as_none_and_is_written_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert last_seen(tmp_path, HERE, NOISE) is None
    keep(tmp_path, HERE, LOUD, WHEN)
    assert last_seen(tmp_path, HERE, NOISE) == LOUD


def test_a_folder_that_is_not_there_or_cannot_be_written_to_is_no_reason_to_fail(tmp_path: Path) -> None:
    keep(tmp_path / "missing", HERE, LOUD, WHEN)
    (tmp_path / "file").write_text("x")
    keep(tmp_path / "file", HERE, LOUD, WHEN)
    assert last_seen(tmp_path / "missing", HERE, NOISE) is None
    assert last_seen(tmp_path / "file", HERE, NOISE) is None
