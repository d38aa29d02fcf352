"""Which tables need not be run again, since there is a run of them with the same settings?

Comes in: the folder of records, tables with what they are asked for now. Goes out: the runs that stand, and why others
don't. So a run that was ended, however it was, is taken up where it was: the same command measures what is missing.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from perfgate import __version__
from perfgate.errors import BadInput
from perfgate.measure.host import fingerprint
from perfgate.reproduce import reproduced
from perfgate.reproduce.reproduced import Reproduced
from perfgate.reproduce.table import Reproduction, Table


def settings_words(table: Table, reproduction: Reproduction) -> dict[str, str]:
    """What a table is run with, by name; in none of it is a password.

    The seed is not among it: it orders windows, and changes no more than another hour does.
    """
    settings, host = reproduction.settings, fingerprint()
    words = {
        "perfgate": __version__,
        "host": f"{host.cores_allowed} cores {host.cpu_model}",
        "scale": str(reproduction.scale),
        "gateway": settings.gateway.options,
        "source": json.dumps(asdict(settings.gateway.source.facts), sort_keys=True),
        "load": table.load_words(reproduction),
        "generator": settings.generator_words,
        "apparatus": str(reproduction.apparatus),
    }
    if settings.gateway.backend == "containers":
        words["images"] = settings.images
    if "postgres" in table.services:
        words["Prisma's engine"] = settings.prisma_engine
        words["PostgreSQL"] = settings.without_secrets(settings.postgres_url or "ours")
    return words


def why_again(known: Reproduced, settings: Mapping[str, str], seed: int | None) -> str | None:
    """Why a table has to be run again, in words; None when its run stands.

    Args:
        known: the run.
        settings: as of `settings_words`, of now.
        seed: that is asked for; None for any.
    """
    if known.complaints:
        return "generator, mock and host were not fit"
    others = [
        name for name in dict.fromkeys((*settings, *known.settings)) if known.settings.get(name) != settings.get(name)
    ]
    if others:
        return f"it was run with another {', '.join(others)}"
    if seed is not None and seed != known.seed:
        return f"it was run with seed {known.seed}"
    return None


def standing(
    folder: Path,
    tables: Sequence[tuple[Table, Reproduction]],
    seed: int | None,
    say: Callable[[str], None],
) -> dict[str, Reproduced]:
    """The runs that stand, by table.

    Args:
        folder: of records.
        tables: each with what it is asked for now.
        seed: that is asked for; None for any.
        say: told why a run that there is does not stand.
    """
    found = {}
    for table, reproduction in tables:
        path = reproduced.path_of(folder, table.name)
        if not path.exists():
            continue
        try:
            known = reproduced.read(path)
            why = why_again(known, settings_words(table, reproduction), seed)
        except BadInput as error:
            why = str(error)
        if why is None:
            found[table.name] = known
        else:
            say(f"{table.name} is run again: {why}")
    return found
