"""Can every command of the README and of docs/ be typed as it stands there, and would it be noticed if not?"""

import argparse
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from perfgate.cli import command_parser, main
from perfgate.exit_codes import ExitCode
from perfgate.settings import OPTIONS
from tests.harness.command_checks import ENVIRON, OTHERS, PROGRAMS, Page
from tests.harness.conftest import ROOT
from tests.harness.documented_commands import Command, NoCommand, blocks_of, commands_of, options_of
from tests.harness.recorded_runs import TWO_SCENARIOS, a_finished_run
from tests.harness.test_baseline_command import written

PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Commands that take a record or a bundle, and a second: they are run.
RUN: Final = ("signoff", "verify", "baseline")
#: Options of other programs that pages speak of.
OF_OTHERS: Final = {"--num_workers": "litellm", "--cap-add": "docker run"}

Check = Callable[..., list[str]]


@pytest.fixture
def check(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Checks a page that has this text and name, by what is in the project's folder."""
    monkeypatch.chdir(ROOT)
    for name, text in ENVIRON.items():
        monkeypatch.setenv(name, text)
    return lambda text, name="page.md": Page(name, text, pytester.parseconfig).complaints()


def found(text: str) -> list[Command]:
    return commands_of(text, "page.md", ("perfgate", "pytest"), OTHERS)


# --- the pages ---


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_the_pages_can_be_typed(page: Path, check: Check) -> None:
    assert check(page.read_text(encoding="utf-8"), page.name) == []


@pytest.mark.slow
def test_every_option_that_the_pages_speak_of_is_there(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    locustfile = (ROOT / "perfgate/load/locust_file.py").read_text(encoding="utf-8")
    known = {
        *(option.name for option in OPTIONS),
        *_options(command_parser()),
        *re.findall(r'    add\("(--[a-z-]+)"', locustfile),
        *OF_OTHERS,
    }
    for page in PAGES:
        for option in set(options_of(page.read_text(encoding="utf-8"))) - known:
            assert _is_of_pytest(option, pytester.parseconfig), f"{page.name}: {option}"


def _is_of_pytest(option: str, parse: Callable[..., pytest.Config]) -> bool:
    try:
        parse(option)
    except pytest.UsageError as error:  # for want of a value, perhaps
        return "unrecognized arguments" not in str(error)
    return True


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:  # argparse tells nobody what it knows
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _options(command)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has what the pages name: records of runs, and a bundle."""
    folder = tmp_path_factory.mktemp("records")
    kept = folder / ".perfgate/records"
    kept.parent.mkdir()
    a_finished_run(folder, thresholds=TWO_SCENARIOS).parent.rename(kept)
    for name, scenario in (("a", "overhead"), ("b", "alone")):
        (folder / name).mkdir()
        a_finished_run(folder / name, thresholds=TWO_SCENARIOS, scenarios=scenario, name=name).rename(
            folder / name / "1.json"
        )
    written(kept).rename(kept / "20260101T000000Z-1-compare.json")
    (whole,) = kept.glob("*-release.json")
    assert main(["signoff", str(whole), "--output", str(folder / "sign-off.tar")]) == ExitCode.OK
    return folder


def on_records() -> list[Command]:
    """Commands in blocks of all pages that are run."""
    commands = [
        command
        for page in PAGES
        for command in commands_of(page.read_text(encoding="utf-8"), page.name, PROGRAMS, OTHERS)
    ]
    return [one for one in commands if one.program == "perfgate" and one.words[1] in RUN and not one.is_mentioned]


@pytest.mark.slow
def test_commands_that_read_records_do_so_as_they_stand_there(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = on_records()
    assert {command.words[1] for command in commands} == set(RUN)
    for number, command in enumerate(commands):
        here = tmp_path / str(number)
        shutil.copytree(records, here)
        monkeypatch.chdir(here)
        words = list(command.words[1:])
        made = [Path(words[place + 1]) for place, word in enumerate(words) if word in ("--output", "--write")]
        for path in made:
            path.unlink(missing_ok=True)
        assert main([each for word in words for each in _as_the_shell_has_it(word)]) == ExitCode.OK, command
        assert all(path.exists() for path in made)


def _as_the_shell_has_it(word: str) -> list[str]:
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]


# --- what would be noticed ---


@pytest.mark.slow
def test_a_page_without_anything_wrong_has_no_complaint(check: Check) -> None:
    text = """
Words, and `perfgate report`, which needs nothing; `perfgate verify`, named alone; `perfgate why --help`.
Not a command: `pytest.mark.scenario("…")`, `perfgate/cli.py`, `git:URL@REF`, `ssh -L 1:2 HOST`.

    perfgate doctor --profile gate          # as it stands here
    make perf ARGS="--litellm 1.79.3"       # somebody's comment
    INPUT_CANDIDATE=1.106.2 INPUT_PROFILE=quick perfgate github gate

```sh
pytest tests/perf --profile callbacks \\
    --scenarios callback_langsmith && perfgate report
git bisect run pytest tests/perf --profile quick
```

```yaml
perfgate nosuch: true
```
"""
    assert check(text) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("perfgate nosuch", "invalid choice: 'nosuch'"),
        ("perfgate history --nosuch", "unrecognized arguments: --nosuch"),
        ("perfgate why --baseline 1.79.3", "the following arguments are required: --candidate"),
        ("perfgate doctor --profile nosuch", "has no profile nosuch"),
        ("perfgate doctor --thresholds nosuch.yaml", "there is no nosuch.yaml, and the page shows none"),
        ("perfgate history --scenario nosuch", "has no scenario nosuch"),
        ("perfgate history --from newest", "newest"),
        ("perfgate bisect --good latest", "'latest' is not a LiteLLM release"),
        ("perfgate bisect --metric nosuch", "--metric nosuch: there are cpu_per_request_ms"),
        ("perfgate bisect --margin 10", "--margin 10: write a percentage above 0"),
        ("perfgate reproduce --table nosuch", "invalid choice: 'nosuch'"),
        ("perfgate reproduce --table all --locust-workers 2", "it goes with --load=locust"),
        ("perfgate selftest rates --pool docs", "docs has no batches"),
        ("perfgate images build --litellm 1.82.7", "litellm 1.82.7 is refused"),
        (
            "perfgate load http://127.0.0.1:4000 --rate 50 --duration 10 --api-key-env NO_SUCH",
            "that variable is not set",
        ),
        ("pytest tests/perf --nosuch", "unrecognized arguments: --nosuch"),
        ("pytest tests/nosuch", "there is no tests/nosuch"),
        ("pytest tests/perf --profile nosuch", "--profile=nosuch: thresholds.yaml has only quick"),
        (
            "pytest tests/perf --profile callbacks --scenarios overhead",
            "--scenarios=overhead: profile callbacks has only",
        ),
        ("pytest tests/perf --profile release", "regression needs a --baseline"),
        ("pytest tests/perf --profile callbacks --litellm 1.79.3", "callback_webhook needs another release"),
        ("pytest tests/perf --load locust", "Locust has no schedule"),
        ("pytest tests/perf --baseline 1.79.3 --profile quick", "none of overhead"),
        ("make nosuch", "the Makefile has no target nosuch"),
        ("make tests", "the Makefile has no target tests"),
        ("make perf ARG=--help", "the Makefile has no variable ARG"),
        ('make perf ARGS="--profile nosuch"', "--profile=nosuch"),
        ("python tools/nosuch.py", "there is no tools/nosuch.py"),
        ("python tools/simulate_method.py --nosuch", "unrecognized arguments: --nosuch"),
        ("python tools/simulate_bisection.py --pool docs", "docs has no batches"),
        ("python -m perfgate.nosuch", "there is no module perfgate.nosuch"),
        ("python -m perfgate.load.locust_worker", "the following arguments are required: HOST:PORT"),
        ("git apply nosuch.diff", "there is no nosuch.diff, and no command before it writes it"),
        ("git bisect run pytest tests/nosuch", "there is no tests/nosuch"),
        ("git push origin", "nobody knows how to check git push origin"),
        ("locust -f perfgate/load/locust_file.py --nosuch", "unrecognized arguments: --nosuch"),
        ("locust -f nosuch.py", "nosuch.py"),
        ("INPUT_NOSUCH=1 perfgate github gate", "there is no variable INPUT_NOSUCH"),
        ("INPUT_PROFILE=nosuch perfgate github gate", "--profile=nosuch"),
        ("cargo bench", "nobody knows how to check cargo"),
        ("budget_minutes: 4", "nobody knows how to check budget_minutes:"),
        ("perfgate report 'BEFORE.json", "is no command: No closing quotation"),
        ("perfgate report $(ls)", "has more of a shell in it than is understood here"),
    ],
)
def test_what_cannot_be_typed_is_said_with_its_place(check: Check, line: str, said: str) -> None:
    (complaint,) = check(f"# A page\n\n    {line}\n")
    assert complaint.startswith("page.md:3")
    assert said in complaint


def test_in_running_text_too(check: Check) -> None:
    text = "One,\ntwo: `perfgate nosuch`,\nor `perfgate why --baseline 1.79.3`.\n"
    first, second = check(text)
    assert "invalid choice: 'nosuch'" in first
    assert "the following arguments are required: --candidate" in second


def test_what_one_command_writes_the_next_one_may_read(check: Check) -> None:
    write, read = "    perfgate calibrate --runs 5 > limits.diff\n", "    git apply limits.diff\n"
    assert check(write + read) == []
    (complaint,) = check(read + write)
    assert "there is no limits.diff" in complaint


def test_a_file_of_limits_may_be_the_one_that_the_page_shows(check: Check) -> None:
    (shown,) = blocks_of((ROOT / "docs/writing-a-perf-test.md").read_text(encoding="utf-8"), "yaml")
    run = "    pytest tests/perf --thresholds mine.yaml --profile replies\n"
    assert check(f"In `mine.yaml`:\n\n```yaml\n{shown}```\n\n{run}") == []
    assert len(check(f"In `other.yaml`:\n\n```yaml\n{shown}```\n\n{run}")) == 1
    assert len(check(f"In `mine.yaml`:\n\n```yaml\n{shown.replace('replies', 'others')}```\n\n{run}")) == 1


# --- what a page shows ---


def test_blocks_without_a_language_and_of_a_shell_are_commands_line_by_line() -> None:
    text = (
        "    perfgate report      # of the newest\n\n    pytest -n auto\n\n"
        "```sh\n# words\nperfgate report A.json\n```\n\n"
        "```console\n$ perfgate doctor\nfine\n```\n"
    )
    assert [(command.place, " ".join(command.words)) for command in found(text)] == [
        ("page.md:1", "perfgate report"),
        ("page.md:3", "pytest -n auto"),
        ("page.md:7", "perfgate report A.json"),
        ("page.md:11", "perfgate doctor"),
    ]


def test_a_line_may_be_several_commands_and_a_command_several_lines() -> None:
    first, second, third = found(
        "    A=1 B='x y' perfgate one > out.txt && perfgate two\n    pytest \\\n        --three\n"
    )
    assert (first.words, first.variables, first.into) == (("perfgate", "one"), {"A": "1", "B": "x y"}, "out.txt")
    assert (second.words, second.variables, second.into) == (("perfgate", "two"), {}, "")
    assert (third.words, third.place) == (("pytest", "--three"), "page.md:2")


def test_spans_are_commands_when_they_begin_with_one_of_the_programs() -> None:
    text = "| x | y |\n|---|---|\n| `pytest one` | `perfgate` |\n\nand `perfgate\ntwo`, `perfgate/cli.py`\n"
    commands = found(text)
    assert [(command.place, command.words) for command in commands] == [
        ("page.md:3", ("pytest", "one")),
        ("page.md:5", ("perfgate", "two")),
    ]
    assert all(command.is_mentioned for command in commands)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```powershell\nperfgate report\n```\n", "page.md:1: the language 'powershell' is none of"),
        ("Run `cargo bench --all`.\n", "page.md:1: 'cargo bench --all' looks like a command of cargo"),
        ("    pytest \\\n", "page.md:1: a command that ends in the middle of a line"),
    ],
)
def test_what_nobody_can_tell_is_refused(text: str, said: str) -> None:
    with pytest.raises(NoCommand, match=re.escape(said)):
        found(text)


def test_options_that_stand_alone_are_found() -> None:
    text = "`--workers 2 --deps of-its-time`, `-n`, `--on-invalid=fail`, `word --no`, `- x`\n"
    assert options_of(text) == ["--workers", "--deps", "-n", "--on-invalid"]
