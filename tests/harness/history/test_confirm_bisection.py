"""Does the tool that confirms bisections know what is right, and is a search that failed no wrong answer?"""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perfgate.exit_codes import ExitCode
from perfgate.stack.gateway_config import read_gateway_config
from tests.harness.history.conftest import ROOT

Search = Callable[[list[str]], str]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module tools/confirm_bisection.py, which is no part of a package."""
    name = "confirm_bisection"
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the tool with a search in the place of the real one."""

    def run_with(search: Search, *arguments: str) -> int:
        monkeypatch.setattr(tool, "searched", search)
        monkeypatch.setattr(sys, "argv", ["confirm_bisection.py", "--results", str(tmp_path), *arguments])
        return int(tool.main())

    return run_with


def configs(command: list[str]) -> list[Path]:
    return [Path(word) for word in command[command.index("--configs") + 1 :]]


def burning(command: list[str]) -> list[str]:
    """The configurations that burn."""
    return [path.name for path in configs(command) if "burns_8pc" in path.read_text()]


def answer(name: str) -> str:
    return f"first bad: x/versions/{name}; x/versions/v1.yaml is good: CPU per request, bad is more than +4.0 %; …\n"


def right(command: list[str]) -> str:
    return answer(burning(command)[0])


def test_a_series_is_good_up_to_a_version_that_the_seed_decides_and_bad_from_it_on(run: Callable[..., int]) -> None:
    seen: list[list[str]] = []

    def search(command: list[str]) -> str:
        paths = configs(command)
        assert [path.name for path in paths] == [f"v{number}.yaml" for number in range(1, 9)]
        seen.append(burning(command))
        # What LiteLLM is given is what perfgate takes.
        assert {read_gateway_config(path).default_model for path in paths} == {"any"}
        return right(command)

    assert run(search, "--runs", "6") == 0
    assert all(names == [f"v{number}.yaml" for number in range(9 - len(names), 9)] for names in seen)
    assert all(1 <= len(names) < 8 for names in seen)
    assert len({len(names) for names in seen}) > 1


def test_the_search_is_that_of_users_with_half_of_what_is_burnt_as_margin(run: Callable[..., int]) -> None:
    commands: list[list[str]] = []

    def search(command: list[str]) -> str:
        commands.append(command)
        return right(command)

    run(search, "--release", "1.102.4", "--runs", "2", "--seed", "5")
    first, second = commands
    assert first[1:7] == ["-m", "perfgate", "bisect", "--litellm", "1.102.4", "--margin"]
    assert first[7] == "4%"
    assert (first[first.index("--seed") + 1], second[second.index("--seed") + 1]) == ("6", "7")
    assert first[first.index("--results") + 1] != second[second.index("--results") + 1]


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (answer("v9.yaml"), "v9.yaml"),
        ("the first bad one is among a/v2.yaml, a/v3.yaml; a/v1.yaml is good: …", "none"),
        ("nothing to search for: CPU per request of a/v8.yaml is good (…)", "none"),
    ],
    ids=["another", "several", "nothing"],
)
def test_anything_but_the_right_version_is_wrong(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], said: str, named: str
) -> None:
    assert run(lambda command: said, "--runs", "1") == 1
    printed = capsys.readouterr().out
    assert f", named {named}: WRONG (0 min)\n0 of 1 right\n" in printed


def test_a_run_that_is_over_is_not_made_again_unless_the_seed_is_another(
    run: Callable[..., int], tmp_path: Path
) -> None:
    asked: list[list[str]] = []

    def search(command: list[str]) -> str:
        asked.append(command)
        return right(command)

    for arguments in (("--runs", "2"), ("--runs", "2"), ("--runs", "3")):
        assert run(search, *arguments) == 0
    assert len(asked) == 3
    assert run(search, "--runs", "1", "--seed", "2") == 0
    assert len(asked) == 4
    kept = [json.loads(path.read_text()) for path in tmp_path.glob("*/answer.json")]
    assert all(one["named"] == one["first_bad"] for one in kept)


@pytest.mark.parametrize("code", [ExitCode.BAD_INPUT, ExitCode.STACK_FAILED])
def test_a_search_that_failed_ends_it_with_its_code_and_is_no_answer(
    run: Callable[..., int], tool: Any, tmp_path: Path, code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    def search(command: list[str]) -> str:
        raise tool.NoAnswer(int(code))

    assert run(search) == code
    said = capsys.readouterr()
    assert f"error: perfgate bisect ended with exit code {int(code)}; what is measured stays in {tmp_path}" in said.err
    assert "WRONG" not in said.out
    assert not list(tmp_path.glob("*/answer.json"))


def test_ended_it_says_that_the_same_command_goes_on(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def search(command: list[str]) -> str:
        raise KeyboardInterrupt

    assert run(search) == ExitCode.INTERRUPTED
    assert "the same command goes on" in capsys.readouterr().err


@pytest.mark.slow
def test_an_answer_is_told_from_a_failure_by_the_exit_code(tool: Any) -> None:
    def program(code: int) -> list[str]:
        return [sys.executable, "-c", f"print('first bad: a/v2.yaml; …'); raise SystemExit({code})"]

    for code in (ExitCode.OK, ExitCode.INVALID):
        assert tool.named_by(tool.searched(program(code))) == "v2.yaml"
    with pytest.raises(tool.NoAnswer, match="exit code 12"):
        tool.searched(program(ExitCode.STACK_FAILED))
