"""Is the page complete in itself, does it hold everything, and can nothing in a record add to it?"""

import base64
import gzip
import hashlib
import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, Final

import pytest

from perfgate.record import Record, ServiceRecord
from perfgate.record_entries import measurement_record
from perfgate.report.html import ReportedRun, page
from tests.harness import synthetic
from tests.harness.report.conftest import (
    HOST,
    a_compared_judgement,
    a_judgement,
    a_measurement,
    a_record,
    two_arms,
)

HOSTILE: Final = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</script></style></title><b>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
)


def a_run(**changes: Any) -> Record:
    judged = [a_judgement("overhead", "overhead_p95_ms"), a_judgement("overhead", "overhead_p50_ms", maximum=5.0)]
    fields = {"host": HOST, "exit_code": 1, "measurements": [a_measurement(failed=3)], "judgements": judged}
    return a_record(**{**fields, **changes})


def reported(record: Record, file: str = "run.json") -> ReportedRun:
    return ReportedRun(file, record.model_dump_json(indent=1).encode(), record)


class _Read(HTMLParser):
    """Elements with their attributes, and text, of a page; content of scripts and styles apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.outside_drawings: list[str] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if "svg" not in self._open:
            self.outside_drawings.append(tag)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        within = self._open[-1] if self._open else ""
        if within == "script":
            self.scripts.append(data)
        elif within != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}


@pytest.fixture(scope="module")
def one() -> str:
    return page([reported(a_run())])


def test_the_page_says_first_what_came_of_the_run(one: str) -> None:
    text = _Read(one).text
    assert text.index("FAIL") < text.index("litellm 1.106.2") < text.index("1 PASS, 1 FAIL, 0 INVALID")
    assert "<title>perfgate: FAIL litellm 1.106.2</title>" in one


def test_limits_evidence_errors_and_environment_are_there(one: str) -> None:
    text = _Read(one).text
    for words in (
        "gateway overhead, p95",
        "at most 25 ms",
        "thresholds.yaml:8",
        "a reason",
        "the interval is beyond the limit",
        "50 requests/s; 8 rounds in 2 generations, 16 windows",
        "healthy: sent 100 % of the offered load",
        "http_500",
        "500 boom",
        "AMD EPYC",
        "24 GiB",
        "perfgate 0",
        "pytest --profile quick --litellm 1.106.2 --stack processes --seed 1",
    ):
        assert words in text, words


def test_the_worst_limit_is_the_first_of_the_table(one: str) -> None:
    assert re.findall(r'<td><span class="verdict (\w+)">', one)[:2] == ["FAIL", "PASS"]


def test_nothing_is_fetched_and_only_our_script_may_run(one: str) -> None:
    read = _Read(one)
    (policy,) = [attributes["content"] or "" for tag, attributes in read.elements if "http-equiv" in attributes]
    assert policy.startswith("default-src 'none';")
    ours = next(script for script in read.scripts if "addEventListener" in script)
    assert f"'sha256-{base64.b64encode(hashlib.sha256(ours.encode()).digest()).decode()}'" in policy
    assert not re.search(r"""(?:src|href|action|url)\s*[=(]\s*["']?\s*(?:https?:)?//""", one)
    targets = [attributes["href"] for _, attributes in read.elements if attributes.get("href")]
    assert all(target is not None and target.startswith(("#", "data:,")) for target in targets)
    assert not read.tags() & {"img", "iframe", "object", "embed", "form", "input", "base"}
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]


def test_ids_are_unique_and_what_is_labelled_has_its_label(one: str) -> None:
    elements = _Read(one).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in elements:
        for name in (attributes.get("aria-labelledby") or "").split():
            assert name in ids
    holders = [attributes["data-holder"] for _, attributes in elements if "data-holder" in attributes]
    assert set(holders) <= set(ids)


def test_every_figure_has_a_caption_and_a_table_of_its_figures(one: str) -> None:
    figures = re.findall(r"<figure>.*?</figure>", one, re.DOTALL)
    assert len(figures) == 3
    for figure in figures:
        assert figure.count("<figcaption>") == figure.count("<svg") == figure.count("<table>") == 1
        assert "<caption>" in figure
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", one)
    assert captions == [
        "Latency by percentile",
        "Gateway overhead, p50, by round and generation",
        "CPU and memory over time",
    ]


def test_tables_that_may_be_wide_can_be_scrolled_by_keyboard(one: str) -> None:
    tables = one.count("<table>")
    assert tables == len([1 for _, a in _Read(one).elements if a.get("class") == "wide" and a.get("tabindex") == "0"])


def test_the_raw_data_are_the_bytes_of_the_record(one: str) -> None:
    content = reported(a_run()).content
    (packed,) = re.findall(r'<script type="text/plain" id="record-1">(.*?)</script>', one, re.DOTALL)
    assert gzip.decompress(base64.b64decode(packed)) == content
    assert hashlib.sha256(content).hexdigest() in one


def test_light_dark_and_narrow_are_provided_for(one: str) -> None:
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in one
    assert "@media (prefers-color-scheme: dark)" in one
    light, dark = (set(re.findall(r"(--[a-z0-9-]+):", part)) for part in one.split("@media (prefers-color-scheme")[:2])
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", one))
    assert used <= light
    assert light == dark & light


def test_the_same_run_makes_the_same_page(one: str) -> None:
    assert page([reported(a_run())]) == one


def named(text: str) -> Record:
    """A run in which everything that can be is called by a text."""
    judged = a_judgement("overhead", "overhead_p95_ms").model_copy(
        update={"scenario": text, "metric": text, "detail": text, "verdict": "FAIL", "apparatus": text}
    )
    of_gateway = a_measurement(failed=3).windows[0]
    errors = [error.model_copy(update={"kind": text, "example": text}) for error in of_gateway.load.errors]
    window = of_gateway.model_copy(update={"arm": text, "load": of_gateway.load.model_copy(update={"errors": errors})})
    (arm,) = [arm for arm in a_measurement().arms if arm.name == "gateway"]
    measured = a_measurement(rounds=1).model_copy(
        update={
            "scenario": text,
            "arms": [arm.model_copy(update={"name": text})],
            "windows": [window],
            "stopped": text,
        }
    )
    return a_run(
        judgements=[judged],
        measurements=[measured],
        gateway=text,
        baseline=text,
        profile=text,
        command=["pytest", text],
        notes=[text],
        limits={text: ["another"]},
        thresholds_path=text,
        host={**HOST, "cpu_model": text},
        host_class=text,
        started_utc=text,
        services=[ServiceRecord(name=text, facts={"version": text})],
    )


@pytest.fixture(scope="module")
def harmless() -> _Read:
    return _Read(page([reported(named("x"), "x"), reported(a_record())]))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_record_becomes_a_part_of_the_page(text: str, harmless: _Read) -> None:
    read = _Read(page([reported(named(text), text), reported(a_record())]))
    assert read.outside_drawings == harmless.outside_drawings
    assert read.tags() == harmless.tags()
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]
    assert len(read.scripts) == len(harmless.scripts)
    assert " ".join(text.split()) in read.text


def test_a_comparison_shows_the_slowdown_with_its_interval() -> None:
    measured = two_arms(1.5)
    judged = a_compared_judgement("cpu_per_request_ms", measured)
    text = _Read(
        page(
            [
                reported(
                    a_run(
                        baseline="litellm 1.79.3",
                        baseline_why="what runs today",
                        judgements=[judged],
                        measurements=[measurement_record(measured)],
                    )
                )
            ]
        )
    ).text
    assert "litellm 1.106.2 against litellm 1.79.3" in text
    assert "litellm 1.79.3 (what runs today)" in text
    assert "Slowdown of the candidate: CPU per request, by round and generation" in text
    assert "8 -> 12 ms" in text


def test_two_runs_stand_side_by_side_with_a_warning_when_hosts_differ() -> None:
    other = a_run(
        host={**HOST, "cores_allowed": 4}, judgements=[a_judgement("overhead", "overhead_p95_ms")], exit_code=0
    )
    text = page([reported(a_run(), "a.json"), reported(other, "b.json")])
    read = _Read(text)
    assert (
        "Warning runs 1 and 2 are of different hosts, their figures can't be compared: cores allowed: 2 and 4"
        in read.text
    )
    assert "Run 1: FAIL" in read.text
    assert "Run 2: PASS" in read.text
    assert text.count("<figure>") == 6
    assert re.findall(r'data-file="(.*?)"', text) == ["a.json", "b.json"]
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_runs_of_one_host_are_not_said_to_be_of_two() -> None:
    text = _Read(page([reported(a_run()), reported(a_run())])).text
    assert "different hosts" not in text
    assert "these runs were not interleaved" in text


def test_a_run_that_has_nothing_yet_is_a_page_all_the_same() -> None:
    text = _Read(page([reported(a_record())])).text
    assert "UNFINISHED" in text
    assert "INCOMPLETE overhead did not run" in text


def test_a_waiver_stands_where_it_cannot_be_overlooked() -> None:
    waived = a_judgement("overhead", "overhead_p95_ms", maximum=5.0, ceiling=60.0)
    text = _Read(page([reported(a_run(judgements=[waived], exit_code=0))])).text
    assert "1 PASS (1 of them waived)" in text
    assert text.index(
        "Waiver overhead: gateway overhead, p95: at most 5 ms is waived up to at most 60 ms"
    ) < text.index("What failed first")
    assert "PASS , waived" in text


def test_an_invalid_run_says_that_this_is_no_pass() -> None:
    invalid = a_judgement("overhead", "overhead_p95_ms", synthetic.measurement(lag_ms=9))
    text = _Read(page([reported(a_run(judgements=[invalid], exit_code=10))])).text
    assert "INVALID is not a pass" in text
    assert "the generator sent late" in text


def of_ten_minutes() -> Record:
    """A comparison of 12 generations of 66 rounds in windows of 30 requests: two arms, one window in 0.38 s."""
    windows = []
    for generation, number, arm in itertools.product(range(12), range(66), ("baseline", "candidate")):
        seed = generation * 1000 + number * 2 + (arm == "candidate")
        window = synthetic.window_of(synthetic.Truth(), arm, generation, number, 30)
        windows.append(replace(window, seed=seed, load=synthetic.load_result(14.0, requests=30, seed=seed)))
    measured = replace(two_arms(1.0), windows=tuple(windows))
    judged = a_compared_judgement("cpu_per_request_ms", two_arms(1.0))
    return a_run(judgements=[judged], measurements=[measurement_record(measured)], baseline="litellm 1.79.3")


@pytest.mark.slow
def test_a_run_of_ten_minutes_is_under_3_mb() -> None:
    run = reported(of_ten_minutes())
    text = page([run])
    assert len(run.content) > 1_500_000
    assert len(text.encode()) < 3_000_000
