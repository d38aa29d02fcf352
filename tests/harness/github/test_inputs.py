"""Do the inputs of action.yml become the arguments of pytest that they stand for?"""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from perfgate.errors import BadInput
from perfgate.github.inputs import DEFAULTS, NAMES, GateInputs, variable
from perfgate.settings import OPTIONS
from tests.harness.conftest import ROOT

ACTION: Final[dict[str, Any]] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


def arguments(**inputs: str) -> list[str]:
    """Of pytest, without those that stand there always."""
    given = {variable(name.replace("_", "-")): text for name, text in inputs.items()}
    found = GateInputs.of_environ({"RUNNER_TEMP": "/tmp/runner", **given}).arguments()
    always = ("--thresholds=", "--record-dir=", "--on-invalid=", "--stack=", "--prisma-engine=", str(ROOT))
    return [each for each in found if not each.startswith(always)]


def test_without_any_input_it_is_the_profile_gate_of_perfgates_own_files() -> None:
    assert GateInputs.of_environ({"RUNNER_TEMP": "/tmp/runner"}).arguments() == [
        str(ROOT / "tests/perf"),
        "--profile=gate",
        "--stack=processes",
        "--prisma-engine=native",
        f"--thresholds={ROOT / 'thresholds.yaml'}",
        "--record-dir=/tmp/runner/perfgate/records",
        "--on-invalid=fail",
    ]


def test_a_candidate_alone_is_judged_by_itself() -> None:
    assert arguments(candidate="1.79.3", profile="quick") == ["--profile=quick", "--litellm=1.79.3"]


def test_a_candidate_is_compared_with_a_baseline() -> None:
    assert arguments(candidate="1.102.4", baseline="1.79.3") == [
        "--profile=gate",
        "--baseline=1.79.3",
        "--candidate=1.102.4",
    ]


def test_a_config_is_both_sides_unless_the_baseline_has_its_own() -> None:
    both = arguments(baseline="1.79.3", gateway_config="a.yaml")
    assert both == ["--profile=gate", "--baseline=1.79.3", "--gateway-config=a.yaml"]
    assert arguments(gateway_config="a.yaml", baseline_config="base/a.yaml", candidate="1.79.3") == [
        "--profile=gate",
        "--candidate=1.79.3",
        "--candidate-config=a.yaml",
        "--baseline-config=base/a.yaml",
    ]


def test_a_file_stands_for_the_release_in_it(tmp_path: Path) -> None:
    for name, release in (("head", "1.102.4"), ("base", "1.79.3")):
        (tmp_path / name).write_text(f"litellm=={release}\n")
    found = arguments(candidate=f"file:{tmp_path}/head", baseline=f"file:{tmp_path}/base")
    assert found[1:] == ["--baseline=1.79.3", "--candidate=1.102.4"]


def test_further_options_and_tests_are_words_as_a_shell_takes_them() -> None:
    given = {"INPUT_OPTIONS": "--workers 2 -k 'a or b'", "INPUT_TESTS": "perf/test_a.py 'my tests'"}
    found = GateInputs.of_environ(given).arguments()
    assert found[:2] == ["perf/test_a.py", "my tests"]
    assert found[-4:] == ["--workers", "2", "-k", "a or b"]


def test_no_input_can_become_an_option_of_its_own() -> None:
    assert arguments(candidate="-p evil", baseline="--rootdir=/")[1:] == [
        "--baseline=--rootdir=/",
        "--candidate=-p evil",
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("options", "-k 'a", "options=-k 'a: these are words as a shell takes them, and here is No closing quotation"),
        ("fail-on-verdict", "maybe", "fail-on-verdict=maybe: must be true or false"),
    ],
)
def test_what_cannot_be_used_is_bad_input(name: str, text: str, said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        GateInputs.of_environ({variable(name): text})


def test_the_options_that_are_given_are_options_of_perfgate() -> None:
    given = {variable(name): "1" for name in NAMES if name not in ("tests", "options", "folder", *DEFAULTS)}
    found = [word.partition("=")[0] for word in GateInputs.of_environ(given).arguments() if word.startswith("--")]
    assert set(found) <= {option.name for option in OPTIONS}


def test_the_action_has_these_inputs_and_one_for_its_upload() -> None:
    assert set(ACTION["inputs"]) == {*NAMES, "artifact"}


def test_the_action_says_the_defaults_that_hold() -> None:
    stated = {name: each["default"] for name, each in ACTION["inputs"].items() if "default" in each}
    assert stated == {**DEFAULTS, "artifact": "perf-gate"}


def test_the_gate_is_told_every_input_and_other_steps_what_they_ask_for() -> None:
    told = {
        step.get("name"): {name: text for name, text in step.get("env", {}).items() if name.startswith("INPUT_")}
        for step in ACTION["runs"]["steps"]
    }
    assert told["Measure and judge"] == {variable(name): f"${{{{ inputs.{name} }}}}" for name in NAMES}
    for name, variables in told.items():
        assert variables.items() <= told["Measure and judge"].items(), name


def test_the_action_hands_on_what_the_gate_says() -> None:
    assert {name: each["value"] for name, each in ACTION["outputs"].items()} == {
        name: f"${{{{ steps.gate.outputs.{name} }}}}" for name in ("verdict", "reason", "exit-code", "record", "report")
    }
