"""Do the workflows and actions keep to what keeps a repository safe, and does branch protection get a failure?"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from perfgate.github.conclusion import CODES
from tests.harness.conftest import ROOT

WORKFLOWS: Final = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONS: Final = [ROOT / "action.yml", *sorted((ROOT / ".github/actions").glob("*/action.yml"))]
FILES: Final = [*WORKFLOWS, *ACTIONS]
#: `uses: owner/name@COMMIT # v1.2.3`, with a folder perhaps, or something of this repository.
PINNED: Final = re.compile(r"uses: (?P<name>[\w.-]+/[\w./-]+)@(?P<commit>[0-9a-f]{40}) # (?P<tag>v\d+\.\d+\.\d+)$")
OURS: Final = re.compile(r"uses: \./\S*( # .*)?$")
#: All that any job may write, by workflow and job.
MAY_WRITE: Final = {("perf-comment", "comment"): {"pull-requests"}, ("nightly", "history"): {"contents"}}


def loaded(path: Path) -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def jobs() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in loaded(path)["jobs"].items():
            yield path.stem, name, job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for workflow, name, job in jobs():
        for step in job["steps"]:
            yield f"{workflow}.{name}", step
    for path in ACTIONS:
        for step in loaded(path)["runs"]["steps"]:
            yield path.parent.name, step


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_workflows_are_these() -> None:
    assert [path.stem for path in WORKFLOWS] == ["ci", "nightly", "perf-comment", "perf-gate", "release-signoff"]


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_whatever_is_used_of_others_is_pinned_by_its_commit_with_its_version_beside_it(path: Path) -> None:
    lines = [line.strip().removeprefix("- ") for line in path.read_text(encoding="utf-8").splitlines()]
    using = [line for line in lines if line.startswith("uses:")]
    assert len(using) == str(loaded(path)).count("'uses': ")
    for line in using:
        assert PINNED.fullmatch(line) or OURS.fullmatch(line), line


def test_one_version_of_each_action_is_used_everywhere() -> None:
    versions: dict[str, set[tuple[str, str]]] = {}
    for path in FILES:
        for line in path.read_text(encoding="utf-8").splitlines():
            if (match := PINNED.search(line)) is not None:
                versions.setdefault(match["name"], set()).add((match["commit"], match["tag"]))
    assert len(versions) == 5
    assert {name: len(found) for name, found in versions.items() if len(found) != 1} == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=ids)
def test_a_workflow_has_permissions_one_run_at_a_time_and_an_end(path: Path) -> None:
    workflow = loaded(path)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    assert {"group", "cancel-in-progress"} <= workflow["concurrency"].keys()
    for name, job in workflow["jobs"].items():
        assert 0 < job["timeout-minutes"] <= 120, name
        assert job["runs-on"] == "ubuntu-latest", name


def test_a_job_may_write_only_where_that_is_what_it_is_for() -> None:
    writes = {
        (workflow, name): {what for what, may in job.get("permissions", {}).items() if may != "read"}
        for workflow, name, job in jobs()
    }
    assert {job: found for job, found in writes.items() if found} == MAY_WRITE


def test_no_expression_is_part_of_a_program() -> None:
    ran = [(where, step["run"]) for where, step in steps() if "run" in step]
    assert len(ran) > 10
    for where, text in ran:
        assert "${{" not in text, where


def test_no_secret_is_used_and_no_token_kept() -> None:
    for path in FILES:
        assert not re.search(r"\bsecrets[.\[]\S", path.read_text(encoding="utf-8")), path
    checkouts = [(where, step) for where, step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) >= len(WORKFLOWS)
    for where, step in checkouts:
        assert step["with"]["persist-credentials"] is False, where


def test_nothing_of_a_pull_request_runs_where_something_may_be_written() -> None:
    triggers = {path.stem: loaded(path)[True] for path in WORKFLOWS}  # YAML takes the word `on` for true
    assert not [name for name, trigger in triggers.items() if "pull_request_target" in trigger]
    for workflow, _ in MAY_WRITE:
        assert "pull_request" not in triggers[workflow]
    assert [name for name, trigger in triggers.items() if "workflow_run" in trigger] == ["perf-comment"]
    for step in loaded(ROOT / ".github/workflows/perf-comment.yml")["jobs"]["comment"]["steps"]:
        assert "ref" not in step.get("with", {}), "the default branch, whatever the run was of"


def test_the_gate_measures_again_only_what_was_invalid_and_always_concludes() -> None:
    gate = loaded(ROOT / ".github/workflows/perf-gate.yml")["jobs"]
    first, again, last = gate["measure"], gate["measure-again"], gate["perf-gate"]
    assert again["if"] == "${{ !cancelled() && needs.measure.outputs.verdict == 'INVALID' }}"
    assert (last["if"], last["needs"]) == ("always()", ["measure", "measure-again"])
    asked = [next(step for step in job["steps"] if step.get("id") == "gate")["with"] for job in (first, again)]
    assert [each.pop("artifact") for each in asked] == ["perf-gate-1", "perf-gate-2"]
    assert asked[0] == asked[1]
    assert asked[0]["fail-on-verdict"] == "false"
    assert first["outputs"] == again["outputs"]
    told = last["steps"][-1]["with"]
    assert told == {
        **{name: f"${{{{ needs.measure.outputs.{name} }}}}" for name in ("verdict", "reason")},
        **{f"again-{name}": f"${{{{ needs.measure-again.outputs.{name} }}}}" for name in ("verdict", "reason")},
        "result": "${{ needs.measure.result }}",
        "again-result": "${{ needs.measure-again.result }}",
    }


def test_every_input_that_an_action_of_ours_gets_is_one_that_it_has() -> None:
    for where, step in steps():
        if step.get("uses", "").startswith("./"):
            known = loaded(ROOT / step["uses"] / "action.yml")["inputs"]
            needed = {name for name, each in known.items() if each.get("required")}
            assert needed <= step["with"].keys() <= known.keys(), where


def test_a_sign_off_measures_every_scenario_of_its_profile_without_a_cache_from_a_protected_ref() -> None:
    jobs_of = loaded(ROOT / ".github/workflows/release-signoff.yml")["jobs"]
    profiles = loaded(ROOT / "thresholds.yaml")["profiles"]
    assert jobs_of["measure"]["strategy"]["matrix"]["scenario"] == profiles["release"]["scenarios"]
    assert "ref_protected" in str(jobs_of["measure"]["steps"][0])
    for job in jobs_of.values():
        assert job["environment"] == "release-signoff"
        for step in job["steps"]:
            assert not step.get("uses", "").startswith(("actions/cache", "./"))
            assert "cache" not in step.get("with", {})


def test_at_night_a_release_is_compared_with_itself() -> None:
    nightly = loaded(ROOT / ".github/workflows/nightly.yml")["jobs"]
    (environ,) = [step["env"] for step in nightly["against-itself"]["steps"] if "env" in step]
    assert environ["INPUT_BASELINE"] == environ["INPUT_CANDIDATE"]
    assert set(nightly["history"]["needs"]) == nightly.keys() - {"history"}


def the_documents_gate() -> dict[Any, Any]:
    """The one file that docs/in-another-repository.md has a team add."""
    page = (ROOT / "docs/in-another-repository.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    content: dict[Any, Any] = yaml.safe_load(text)
    return content


def test_the_gate_of_the_document_is_that_of_this_repository_with_the_action_from_elsewhere() -> None:
    theirs, ours = the_documents_gate(), loaded(ROOT / ".github/workflows/perf-gate.yml")
    assert theirs["permissions"] == {"contents": "read"}
    assert theirs["concurrency"] == ours["concurrency"]
    assert theirs["jobs"].keys() == ours["jobs"].keys()
    for name, job in theirs["jobs"].items():
        there = ours["jobs"][name]
        for key in ("runs-on", "timeout-minutes", "outputs", "needs", "if"):
            assert job.get(key) == there.get(key), (name, key)
    last, here = theirs["jobs"]["perf-gate"]["steps"][-1], ours["jobs"]["perf-gate"]["steps"][-1]
    assert last["with"] == here["with"]


def test_the_gate_of_the_document_uses_inputs_that_there_are_and_pins_what_it_uses() -> None:
    known = loaded(ROOT / "action.yml")["inputs"]
    page = (ROOT / "docs/in-another-repository.md").read_text(encoding="utf-8")
    pins = {match["commit"] for match in re.finditer(PINNED.pattern, page, re.MULTILINE)}
    checkouts = {match["commit"] for match in re.finditer(PINNED.pattern, FILES[0].read_text(), re.MULTILINE)}
    assert pins
    assert pins <= checkouts
    for job in ("measure", "measure-again"):
        first, second, gate = the_documents_gate()["jobs"][job]["steps"]
        assert first["uses"] == second["uses"]
        assert gate["uses"] == "OWNER/perfgate@COMMIT"
        assert gate["with"].keys() <= known.keys()


def test_the_document_names_every_output_and_verdict() -> None:
    page = (ROOT / "docs/in-another-repository.md").read_text(encoding="utf-8")
    for output in loaded(ROOT / "action.yml")["outputs"]:
        assert f"`{output}`" in page, output
    for word, code in CODES.items():
        assert word in page
        assert int(code) == 0 or f"fails with {int(code)} " in page, word
