"""How does a step tell GitHub what it found?

Comes in: what is to be said. Goes out: lines and files of GitHub's own form: annotations, outputs, the step's summary.
Imports nothing but Python's own library, so that a step can say something before anything is installed.

Source: GitHub's documentation, "Workflow commands for GitHub Actions".
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

#: Where a step writes its outputs and its summary: each holds the path of a file.
OUTPUT_VARIABLE: Final = "GITHUB_OUTPUT"
SUMMARY_VARIABLE: Final = "GITHUB_STEP_SUMMARY"
#: GitHub shows no more annotations of one level from one step.
ANNOTATIONS_MAX: Final = 10
_OF_DATA: Final = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_OF_PROPERTIES: Final = {**_OF_DATA, ":": "%3A", ",": "%2C"}


@dataclass(frozen=True, slots=True)
class Annotation:
    """A message that GitHub shows with the run, and in the pull request where it has a file.

    Args:
        level: how bad it is.
        title: its headline.
        message: what is said.
        file: from the repository's root; None for no place.
        line: of the file, from 1.
    """

    level: Literal["error", "warning", "notice"]
    title: str
    message: str
    file: str | None = None
    line: int | None = None

    @property
    def command(self) -> str:
        """The line to print.

        >>> Annotation("error", "slow", "by 5 %", "thresholds.yaml", 8).command
        '::error file=thresholds.yaml,line=8,title=slow::by 5 %25'
        """
        properties = {"file": self.file, "line": self.line, "title": self.title}
        stated = [f"{name}={_coded(str(value), _OF_PROPERTIES)}" for name, value in properties.items() if value]
        return f"::{self.level} {','.join(stated)}::{_coded(self.message, _OF_DATA)}"


def _coded(text: str, codes: Mapping[str, str]) -> str:
    return text.translate({ord(mark): code for mark, code in codes.items()})


def append_outputs(environ: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    """Set outputs of the step, where there is one.

    Args:
        environ: of the process.
        outputs: values by name, a line each.

    Raises:
        ValueError: a value has more than one line; it could set other outputs.
        OSError: the file cannot be written.
    """
    for name, value in outputs.items():
        if "\n" in value or "\r" in value:
            raise ValueError(f"{name}={value!r}: an output is one line")
    path = environ.get(OUTPUT_VARIABLE)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in outputs.items())


def append_summary(environ: Mapping[str, str], markdown: str) -> None:
    """Add to the step's summary, where there is one.

    Raises:
        OSError: the file cannot be written.
    """
    path = environ.get(SUMMARY_VARIABLE)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(markdown)


@contextmanager
def commands_stopped(environ: Mapping[str, str]) -> Iterator[None]:
    """While the context is open, GitHub takes no line for a command: what a gateway prints is none of ours."""
    if environ.get("GITHUB_ACTIONS") != "true":
        yield
        return
    token = secrets.token_hex(16)
    print(f"::stop-commands::{token}", flush=True)
    try:
        yield
    finally:
        print(f"::{token}::", flush=True)
