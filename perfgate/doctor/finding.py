"""What does a check of this machine come to, and what does a person see of it?

    machine.py, programs.py, noise.py --Finding--> command.py --table, closing_line--> the terminal

Comes in: findings. Goes out: text, and an exit code. No I/O.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from perfgate.exit_codes import ExitCode, worst

#: Below this the table can't be read; a narrower terminal breaks its lines.
WIDTH_MIN: Final = 80


class State(Enum):
    """How a check came out; the value is the mark in the table."""

    OK = "ok"
    PARTLY = "partly"  #: some scenarios cannot run
    BEWARE = "beware"  #: all can, but figures may suffer
    NO = "no"  #: the profile cannot be measured


_STYLES: Final = {State.OK: "green", State.PARTLY: "yellow", State.BEWARE: "yellow", State.NO: "bold red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Args:
        check: what was looked at, in a word or two.
        state: see there.
        found: what there is.
        advice: what to do about it; empty where there is nothing to do.
        code: how a run of the profile would end for that reason; with `NO` only.
    """

    check: str
    state: State
    found: str
    advice: str = ""
    code: ExitCode = ExitCode.OK

    def __post_init__(self) -> None:
        """Check that whatever is amiss says what to do, and that what blocks says how a run would end."""
        if self.state is not State.OK and not self.advice:
            raise ValueError(f"check={self.check!r} is {self.state.name} and has no advice")
        if (self.state is State.NO) != (self.code is not ExitCode.OK):
            raise ValueError(f"check={self.check!r}: code={self.code!r} must go with NO, and with nothing else")


def table(findings: Sequence[Finding], width: int, *, colour: bool) -> str:
    """A row for each finding: mark, check, what there is, what to do."""
    rows = Table(box=None, pad_edge=False, header_style="bold")
    rows.add_column("")
    rows.add_column("check", no_wrap=True)
    rows.add_column("found", ratio=1)
    rows.add_column("what to do", ratio=1)
    for finding in findings:
        mark = Text(finding.state.value, style=_STYLES[finding.state])
        rows.add_row(mark, finding.check, Text(finding.found), Text(finding.advice))
    text = io.StringIO()
    Console(file=text, width=max(width, WIDTH_MIN), force_terminal=colour, highlight=False).print(rows)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def exit_code(findings: Sequence[Finding]) -> ExitCode:
    """OK when nothing blocks; else how a run would end."""
    return worst([finding.code for finding in findings])


def closing_line(profile: str, findings: Sequence[Finding]) -> str:
    """`perfgate doctor: the profile quick can be measured here; beware of noise`."""
    of = {state: ", ".join(one.check for one in findings if one.state is state) for state in State}
    can = f"cannot be measured here: {of[State.NO]}" if of[State.NO] else "can be measured here"
    parts = [f"the profile {profile} {can}"]
    if of[State.PARTLY]:
        parts.append(f"some scenarios cannot: {of[State.PARTLY]}")
    if of[State.BEWARE]:
        parts.append(f"beware of {of[State.BEWARE]}")
    code = exit_code(findings)
    return f"perfgate doctor: {'; '.join(parts)}; exit code {int(code)}"
