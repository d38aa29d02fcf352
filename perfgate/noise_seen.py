"""How noisy were earlier comparisons on this host, so that the next one can be planned by it?

Comes in: what kind of comparison it is. Goes out: the `Noise` of the last one of that kind, or None. Kept in one small
file beside the records; without it, or where it cannot be read, plans are made with what the reference host showed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from perfgate.atomic_file import write_atomically
from perfgate.stats.comparison import Noise

FILE: Final = "noise.json"
#: One quiet run may have been luck: no plan is made for less than this share of what is expected of such windows.
LEAST_RATIO: Final = 0.5


@dataclass(frozen=True, slots=True)
class Kind:
    """Comparisons whose noise is alike.

    Args:
        cpu_model: of the host.
        backend: that the gateways run on.
        load: the load of their windows, in words.
    """

    cpu_model: str
    backend: str
    load: str

    def __str__(self) -> str:
        """As it stands in the file."""
        return f"{self.cpu_model}, {self.backend}, {self.load}"


class _Seen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    process_sd: float
    round_sd: float
    seen_utc: str


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    by_kind: dict[str, _Seen]


def last_seen(folder: Path, kind: Kind, expected: Noise) -> Noise | None:
    """The noise of the last comparison of that kind, never less than `LEAST_RATIO` of what is expected; None if none.

    Args:
        folder: of the records.
        kind: see there.
        expected: of such windows before any were measured (`comparison_plan.expected_noise`).
    """
    seen = _read(folder).get(str(kind))
    if seen is None:
        return None
    return Noise(
        max(seen.process_sd, LEAST_RATIO * expected.process_sd), max(seen.round_sd, LEAST_RATIO * expected.round_sd)
    )


def keep(folder: Path, kind: Kind, noise: Noise, seen_utc: str) -> None:
    """Remember the noise of a comparison that has ended; a folder that cannot be written to is no reason to fail."""
    seen = _Seen(process_sd=noise.process_sd, round_sd=noise.round_sd, seen_utc=seen_utc)
    file = _File(by_kind={**_read(folder), str(kind): seen})
    try:
        write_atomically(folder / FILE, file.model_dump_json(indent=1))
    except OSError:
        return


def _read(folder: Path) -> dict[str, _Seen]:
    try:
        return _File.model_validate_json((folder / FILE).read_text(encoding="utf-8")).by_kind
    except (OSError, UnicodeDecodeError, ValidationError):
        return {}
