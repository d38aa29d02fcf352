"""What is typed to run a table again as it was run?

Comes in: the options that were given, be it on the command line or by variables. Goes out: a command as it can stand in
a document: every option that is not as by default, without a password, and without the folders of this machine.
"""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Final

from perfgate.settings import OPTIONS, Option, Settings
from perfgate.stack.sources import Checkout, GitRef, Source

#: Options of pytest that say which gateway is run, in what, and who sends the load: `perfgate reproduce` has them, too.
_PASSED_ON: Final = (
    "--litellm",
    "--stack",
    "--images",
    "--prisma-engine",
    "--postgres-url",
    "--cpus-per-instance",
    "--memory-per-instance",
    "--deps",
    "--load",
    "--locust-workers",
    "--locust-expect-workers",
    "--locust-bind",
    "--seed",
)
RUN_OPTIONS: Final[tuple[Option, ...]] = tuple(option for option in OPTIONS if option.name in _PASSED_ON)
#: What it has no option for, and what holds by its variable all the same.
_BY_VARIABLE: Final = ("--with-packages", "--gateway-config", "--model")
#: Of the load; a table that Locust cannot send has none of them.
_OF_LOCUST: Final = ("--load", "--locust-workers", "--locust-expect-workers", "--locust-bind")
_PATHS: Final = ("--gateway-config", "--thresholds", "--record-dir", "--document")
#: In the place of folders that only this machine has.
_FOLDERS: Final = "…"


def command_line(table: str, scale: str, own: Mapping[str, str], given: Mapping[str, str], settings: Settings) -> str:
    """The command that runs a table as it was run.

    Args:
        table: that alone, whatever others were run with it.
        scale: by name.
        own: options of `perfgate reproduce` alone that are not as by default, by name.
        given: of the options of pytest those that were given, as of `settings.options_given`.
        settings: what all of them came to, for this table.
    """
    asked = {option.name: given[option.name] for option in OPTIONS if _is_asked(option, given, settings)}
    if "--litellm" in given or "--candidate" in given:
        asked["--litellm"] = without_folders(settings.gateway.source).option_text
    variables = {option.name: option.variable for option in OPTIONS if option.name in _BY_VARIABLE}
    words = ["perfgate", "reproduce", "--table", table, "--scale", scale]
    for name, text in {**own, **asked}.items():
        if name not in variables:
            words += [name, _shown(name, text, settings)]
    words += ["--seed", str(settings.seed)]
    before = [
        f"{variable}={shlex.quote(_shown(name, asked[name], settings))}"
        for name, variable in variables.items()
        if name in asked
    ]
    return " ".join([*before, shlex.join(words)])


def without_folders(source: Source) -> Source:
    """What is judged, as it can be named in a document: a checkout by its own name, wherever it is."""
    if isinstance(source, Checkout):
        return replace(source, shown=_without_folders(source.shown))
    if isinstance(source, GitRef):
        return replace(source, url=_without_folders(source.url.removeprefix("file://")))
    return source


def _is_asked(option: Option, given: Mapping[str, str], settings: Settings) -> bool:
    """Whether it was given, says something else than its default, and means something to the table."""
    if option.name == "--seed" or option.name not in (*_PASSED_ON, *_BY_VARIABLE):
        return False
    if option.name in _OF_LOCUST and settings.locust is None:
        return False
    return given.get(option.name, option.default) != option.default


def _shown(name: str, text: str, settings: Settings) -> str:
    return settings.without_secrets(_without_folders(text) if name in _PATHS else text)


def _without_folders(path: str) -> str:
    """A path that begins at the root or at somebody's home by its name alone, any other as it is.

    >>> _without_folders("/home/me/limits.yaml"), _without_folders("../limits.yaml")
    ('…/limits.yaml', '../limits.yaml')
    """
    return f"{_FOLDERS}/{PurePath(path).name}" if path.startswith(("/", "~")) else path
