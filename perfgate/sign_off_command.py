"""`perfgate signoff`: may this version be released?

Comes in: the records of its runs. Goes out: a bundle (a folder, or a .tar) or what blocks it, on standard output, and
an exit code. The plugin signs a run of the profile `release` off by the same function.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from perfgate.errors import BadInput
from perfgate.exit_codes import ExitCode, worst
from perfgate.report.bundle import TAR_SUFFIX, check_is_free, write_bundle
from perfgate.report.sign_off import (
    DOCUMENT,
    PROFILE,
    Block,
    KeptRecord,
    blocks,
    files_of,
    fitting_rates,
    named,
    refusals,
    untrue,
)
from perfgate.selftest.published import DEFAULT_POOL, RATES_FILE

DEFAULT_RATES: Final = DEFAULT_POOL / RATES_FILE
DEFAULT_OUTPUT: Final = Path("sign-off")


@dataclass(frozen=True, slots=True)
class SignedOff:
    """What came of a sign-off.

    Args:
        bundle: where it is; None where something blocks it.
        blocks: what does.
    """

    bundle: Path | None
    blocks: tuple[Block, ...] = ()

    def exit_code(self, *, may_be_invalid: bool = False) -> ExitCode:
        """Of all that blocks it; without what could not be judged, where that only warns."""
        codes = {block.code for block in self.blocks}
        return worst(codes - {ExitCode.INVALID} if may_be_invalid else codes)


def add_signoff(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `signoff` to the commands of `perfgate`."""
    parser = commands.add_parser(
        "signoff",
        help="make the sign-off of a version from its records",
        description=f"Sign a version off by the records of its runs with --profile {PROFILE}, one or several that "
        "together are all scenarios of the profile: write a bundle of the records, the thresholds, what ran where, a "
        "report with curves, and one page to sign. Anything that is missing, not PASS, or mixed is named, and nothing "
        "is written.",
    )
    option = parser.add_argument
    option("records", type=Path, nargs="+", metavar="RECORD", help="of a run: .perfgate/records/….json")
    option(
        "--output",
        type=Path,
        default=DEFAULT_OUTPUT,
        metavar="PATH",
        help=f"of the bundle: a folder, or one file when it ends in {TAR_SUFFIX} (%(default)s)",
    )
    option(
        "--selftest",
        type=Path,
        metavar="FILE",
        help=f"rates of a selftest, taken when they are of a host of the runs ({DEFAULT_RATES}, where it is there)",
    )
    parser.set_defaults(run=run_signoff)


def run_signoff(options: argparse.Namespace) -> ExitCode:
    """Make a bundle, or say what blocks it.

    Raises:
        BadInput, StackFailed: see `signed_off`.
    """
    done = signed_off(options.records, options.output, options.selftest)
    if done.bundle is None:
        print("\n".join(["NO SIGN-OFF, nothing was written:", *(f"  {block}" for block in done.blocks)]))
        print("next: mend what is named, run it again with --profile release, and sign off by the new record")
        return done.exit_code()
    print(f"bundle: {done.bundle}, the page to sign is {DOCUMENT} in it; `perfgate verify {done.bundle}` checks it")
    return ExitCode.OK


def signed_off(paths: Sequence[Path], output: Path, selftest: Path | None = None) -> SignedOff:
    """Sign a version off by the records of its runs.

    Args:
        paths: of the records.
        output: of the bundle.
        selftest: rates to take; None takes those of `DEFAULT_RATES`, where they are.

    Raises:
        BadInput: a record cannot be read, the records are not of one sign-off, the rates are none, or the bundle is
            there already.
        StackFailed: it cannot be written.
    """
    check_is_free(output)
    kept = [KeptRecord.read(path) for path in paths]
    refused = refusals(kept)
    if refused:
        raise BadInput(
            "these records are not of one sign-off, nothing was written:\n"
            + "\n".join(f"  {sentence}" for sentence in refused)
            + "\nnext: name the records of one version, all made alike"
        )
    found = blocks(kept) or untrue(kept)
    if found:
        return SignedOff(None, tuple(found))
    write_bundle(output, files_of(named(kept), _rates(selftest, kept)))
    return SignedOff(output)


def _rates(asked: Path | None, kept: Sequence[KeptRecord]) -> bytes | None:
    """The rates of one of the hosts: those that are asked for have to be; no sign-off fails by what lies there."""
    if asked is None:
        try:
            return fitting_rates(DEFAULT_RATES.read_bytes(), str(DEFAULT_RATES), kept)
        except (OSError, BadInput):
            return None
    try:
        rates = fitting_rates(asked.read_bytes(), str(asked), kept)
    except OSError as error:
        raise BadInput(f"--selftest {asked}: cannot be read ({error.strerror})") from error
    if rates is None:
        raise BadInput(f"--selftest {asked}: its rates are of another host than these runs; leave it out")
    return rates
