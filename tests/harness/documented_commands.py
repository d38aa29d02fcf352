"""Which commands do the README and the pages in docs/ show?

Comes in: the text of a page. Goes out: `Command`s, in words as a shell takes them, and options that stand alone. In a
block without a language, or of a shell's, every line is a command, so that whatever is none has to have its language
beside it. In running text a span of code is a command when it begins with a program that is looked for.
Runs and checks nothing.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

#: Of blocks that hold commands; `console` marks them by a dollar, and has what they print below.
SHELLS: Final = ("", "sh", "bash", "shell", "console")
#: Of blocks that hold something else.
OTHERS: Final = ("yaml", "python", "text", "dockerfile", "json")
#: What may be between two commands, and before the file that one writes.
_BETWEEN: Final = ("&&", ";", "|")
_INTO: Final = (">", ">>")
_VARIABLE: Final = re.compile(r"(?P<name>[A-Z_][A-Z0-9_]*)=(?P<value>.*)", re.S)
_COMMENT: Final = re.compile(r"(^|\s)#.*$", re.M)
#: A span with an option behind a word that may be a program.
_LIKE_A_COMMAND: Final = re.compile(r"(?P<program>[a-z][\w.-]*)( .*)? --?[a-zA-Z].*", re.S)
_OPTION: Final = re.compile(r"(?<!\S)--?[a-zA-Z][\w-]*")
_PAGE: Final = MarkdownIt("commonmark").enable("table")


class NoCommand(ValueError):
    """A page holds what is no command where commands stand; the text has the place and what to do."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a page.

    Args:
        place: `docs/why.md:3`.
        words: the program first.
        variables: that stand before it.
        into: the file that its output goes to; empty for none.
        is_mentioned: whether it stands in running text, where it may lack what it needs.
    """

    place: str
    words: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)
    into: str = ""
    is_mentioned: bool = False

    @property
    def program(self) -> str:
        """The first word."""
        return self.words[0]

    def __str__(self) -> str:
        """Place and command, as the name of a test."""
        return f"{self.place} {shlex.join(self.words)}"


def commands_of(text: str, page: str, programs: Sequence[str], others: Sequence[str] = ()) -> list[Command]:
    """All commands of a page, from the top.

    Args:
        text: of the page.
        page: its name, for places.
        programs: those that spans of running text are looked at for.
        others: programs of others, whose commands in running text are let be.

    Raises:
        NoCommand: a block has a language that is not known, or a line that is no command; or a span looks like a
            command of a program that is none of these.
    """
    found: list[Command] = []
    for token, line in _with_lines(text):
        if token.type in ("fence", "code_block"):
            language = token.info.strip()
            if language in SHELLS:
                first = line + 1 if token.type == "fence" else line
                found += _of_block(token.content, page, first, is_console=language == "console")
            elif language not in OTHERS:
                raise NoCommand(f"{page}:{line}: the language {language!r} is none of {', '.join((*SHELLS, *OTHERS))}")
        elif token.type == "inline":
            for span in _spans(token):
                program = span.partition(" ")[0]
                if program in programs and " " in span:
                    found += [_mentioned(each) for each in _of_line(span, f"{page}:{line}")]
                elif (like := _LIKE_A_COMMAND.fullmatch(span)) is not None and like["program"] not in others:
                    raise NoCommand(f"{page}:{line}: {span!r} looks like a command of {program}, which nobody checks")
    return found


def options_of(text: str) -> list[str]:
    """Options that spans of running text begin with: `--workers` of `--workers 2`."""
    return [
        option
        for token, _ in _with_lines(text)
        if token.type == "inline"
        for span in _spans(token)
        if span.startswith("-")
        for option in _OPTION.findall(span)
    ]


def blocks_of(text: str, language: str) -> list[str]:
    """What the blocks of a language hold."""
    return [token.content for token, _ in _with_lines(text) if token.type == "fence" and token.info.strip() == language]


def _with_lines(text: str) -> Iterator[tuple[Token, int]]:
    """Every token with the line that it begins at; cells of a table have that of their row."""
    line = 1
    for token in _PAGE.parse(text):
        if token.map is not None:
            line = token.map[0] + 1
        yield token, line


def _spans(token: Token) -> list[str]:
    return [child.content for child in token.children or () if child.type == "code_inline"]


def _of_block(content: str, page: str, first_line: int, *, is_console: bool) -> Iterator[Command]:
    begun, begun_at = "", first_line
    for number, line in enumerate(content.splitlines(), first_line):
        if is_console and not begun:
            if not line.startswith("$ "):
                continue
            line = line.removeprefix("$ ")
        begun, begun_at = (begun + line, begun_at) if begun else (line, number)
        if begun.endswith("\\"):
            begun = begun[:-1]
            continue
        yield from _of_line(begun, f"{page}:{begun_at}")
        begun = ""
    if begun:
        raise NoCommand(f"{page}:{begun_at}: a command that ends in the middle of a line")


def _of_line(line: str, place: str) -> Iterator[Command]:
    lexer = shlex.shlex(_COMMENT.sub("", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise NoCommand(f"{place}: {line.strip()!r} is no command: {error}") from error
    one: list[str] = []
    for word in [*words, ";"]:
        if word not in _BETWEEN:
            one.append(word)
        elif one:
            yield _command(one, place)
            one = []


def _command(words: list[str], place: str) -> Command:
    variables: dict[str, str] = {}
    while words and (match := _VARIABLE.fullmatch(words[0])) is not None:
        variables[match["name"]] = match["value"]
        words = words[1:]
    into = ""
    if len(words) > 2 and words[-2] in _INTO:
        into, words = words[-1], words[:-2]
    if not words or any(set(word) <= set("<>()&|;") for word in words if word):
        raise NoCommand(f"{place}: {shlex.join(words)} has more of a shell in it than is understood here")
    return Command(place, tuple(words), variables, into)


def _mentioned(command: Command) -> Command:
    return Command(command.place, command.words, command.variables, command.into, is_mentioned=True)
