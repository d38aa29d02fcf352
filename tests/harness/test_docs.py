"""Do the examples in docs/ run as they stand there?"""

import os
import re
from pathlib import Path

import pytest
import yaml

from perfgate import record
from perfgate.exit_codes import PRECEDENCE, ExitCode
from perfgate.settings import OPTIONS

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("PERFGATE_CACHE_DIR", Path.home() / ".cache/perfgate"))
PAGE = (ROOT / "docs/writing-a-perf-test.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


@pytest.mark.slow
@pytest.mark.xdist_group("real_gateway")
def test_the_example_of_a_perf_test_measures_and_judges_a_real_gateway(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which verdicts it reaches is for an idle machine to say."""
    monkeypatch.setenv("PERFGATE_CACHE_DIR", str(CACHE))  # whose home is the test's would install LiteLLM anew
    pytester.makepyfile(test_long_replies=block("python"))
    pytester.makeini(f"[pytest]\npythonpath = {ROOT}\nmarkers =\n  scenario(name): x\n")
    (pytester.path / "thresholds.yaml").write_text(block("yaml"), encoding="utf-8")
    options = ["-p", "perfgate.plugin", "-p", "no:cacheprovider", "--profile", "replies", "--seed", "7"]
    result = pytester.runpytest_subprocess(*options)
    assert result.ret in (0, 1), result.stdout.str()
    (path,) = (pytester.path / ".perfgate/records").glob("*.json")
    written = record.read(path)
    assert [judgement.metric for judgement in written.judgements] == ["error_ratio", "overhead_p50_ms"]
    assert written.incomplete == []
    assert {arm.model for arm in written.measurements[0].arms} == {"mock-reply-16384b"}


def test_every_metric_is_explained() -> None:
    page = (ROOT / "docs/thresholds.md").read_text(encoding="utf-8")
    table = page[page.index("| metric |") : page.index("## On another host")]
    from perfgate.experiment.metrics import METRICS

    for metric in METRICS:
        assert f"`{metric}`" in table or f"`{re.sub('p(95|99)', 'p50', metric)}` (95, 99)" in table, metric


def test_every_reason_for_an_invalid_is_explained() -> None:
    from perfgate.verdict import Reason

    page = (ROOT / "docs/troubleshooting-invalid.md").read_text(encoding="utf-8")
    not_invalid = {Reason.WITHIN, Reason.WAIVED, Reason.BEYOND, Reason.DRIFT}
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    for reason in set(Reason) - not_invalid:
        assert reason.value in headings, reason


def test_the_kubernetes_example_names_options_and_modules_that_there_are_and_as_many_workers_as_it_starts() -> None:
    page = (ROOT / "docs/distributed.md").read_text(encoding="utf-8")
    (text,) = (text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "kind: " in text)
    by_kind = {document["kind"]: document for document in yaml.safe_load_all(text)}
    (worker,) = by_kind["Deployment"]["spec"]["template"]["spec"]["containers"]
    (run,) = by_kind["Job"]["spec"]["template"]["spec"]["containers"]
    options = dict(argument.split("=", maxsplit=1) for argument in run["args"])
    assert options.keys() <= {option.name for option in OPTIONS}
    assert int(options["--locust-expect-workers"]) == by_kind["Deployment"]["spec"]["replicas"]
    host, port = worker["command"][-1].split(":")
    assert host == by_kind["Service"]["metadata"]["name"]
    assert options["--locust-bind"].endswith(f":{port}")
    assert (ROOT / f"{worker['command'][2].replace('.', '/')}.py").exists()
    assert worker["image"] == run["image"]


def test_options_of_the_locustfile_are_all_explained() -> None:
    page = (ROOT / "docs/distributed.md").read_text(encoding="utf-8")
    source = (ROOT / "perfgate/load/locust_file.py").read_text(encoding="utf-8")
    options = re.findall(r'    add\("(--[a-z-]+)"', source)
    assert len(options) == 7
    for option in options:
        assert f"`{option}`" in page, option


def test_every_exit_code_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index("| code |") : readme.index("When several apply")]
    listed = {int(code) for row in table.strip().splitlines()[2:] for code in re.findall(r"\d+", row.split("|")[1])}
    assert listed == set(ExitCode)
    order = ", ".join(str(int(code)) for code in PRECEDENCE if code not in (ExitCode.INTERRUPTED, ExitCode.INTERNAL))
    assert f"When several apply, the order is {order}." in readme
