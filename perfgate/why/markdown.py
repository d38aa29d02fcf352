"""How does an answer stand in a terminal, and in a file that GitHub shows?

Comes in: an `Answer`. Goes out: Markdown. No I/O.

Names of functions and files are what somebody else wrote: they stand in code spans, in which nothing is markup.
"""

from collections.abc import Iterator

from perfgate.history.table import table
from perfgate.report.plain_text import plain
from perfgate.why.answer import Answer, Section


def markdown(answer: Answer) -> str:
    """All of it."""
    return "\n".join(_lines(answer)).rstrip("\n") + "\n"


def _lines(answer: Answer) -> Iterator[str]:
    yield f"# Why {code(answer.candidate)} costs what it does, beside {code(answer.baseline)}"
    yield ""
    for warning in answer.warnings:
        yield f"**Not to be trusted**: {plain(warning)}"
        yield ""
    yield "Made by"
    yield ""
    yield f"    {plain(answer.command, 10_000)}"
    for section in answer.sections:
        yield ""
        yield from _section(section)


def _section(section: Section) -> Iterator[str]:
    yield f"## {section.title}"
    if section.words:
        yield ""
        yield section.words
    if section.rows:
        yield ""
        body = [
            [code(cell) if column < section.names else cell for column, cell in enumerate(row)] for row in section.rows
        ]
        yield table(section.head, body).rstrip("\n")


def code(text: str) -> str:
    """A text as code, in a table too: the mark that would end the span is replaced, that of a column is kept.

    >>> code("f|g (a`b.py)")
    "`f\\\\|g (a'b.py)`"
    """
    return f"`{plain(text).replace('`', chr(39)).replace('|', chr(92) + '|') or ' '}`"
