"""Do the examples in docs/ run as they stand there?"""

import re
from pathlib import Path

import pytest

from perfgate import record

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/writing-a-perf-test.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


@pytest.mark.slow
@pytest.mark.xdist_group("real_gateway")
def test_the_example_of_a_perf_test_measures_and_judges_a_real_gateway(pytester: pytest.Pytester) -> None:
    """Which verdicts it reaches is for an idle machine to say."""
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
