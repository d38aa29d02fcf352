"""Does the summary say in its first lines what came of a run, can nothing in a record add markup, and does it fit?"""

from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from perfgate.record import JudgementRecord, Record, ServiceRecord
from perfgate.report.markdown import STEP_SUMMARY_BYTES_MAX, NoRoom, code, summary
from perfgate.settings import AS_ASKED
from tests.harness import synthetic
from tests.harness.report.conftest import HOST, a_compared_judgement, a_judgement, a_measurement, a_record, two_arms

#: What GitHub renders, of all that a summary needs; raw HTML is let through, as its sanitiser lets these elements.
RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OURS = {
    *("h2", "p", "strong", "code", "pre", "ul", "li", "details", "summary"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
#: Each would be something else than text if it got through.
HOSTILE = (
    "<script>alert(1)</script>",
    "</code></td></table><img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/p.png)",
    "**bold** _em_ `code` ~~gone~~",
    "| another | cell |",
    "# heading\n\n- item\n\n```\nfence",
    "@everyone and someone@evil.example",
    "www.evil.example https://evil.example #1",
    "&lt;b&gt; &#60;i&#62;",
    "$\\frac{1}{2}$ \\| \\` \\<",
)


class _Read(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def rendered(text: str) -> _Read:
    return _Read(RENDERER.render(text))


def a_run(*judgements: JudgementRecord, **changes: object) -> Record:
    fields = {"host": HOST, "exit_code": 0, "measurements": [a_measurement()], "judgements": list(judgements)}
    return a_record(**{**fields, **changes})


PASSED = a_judgement("overhead", "overhead_p95_ms")
FAILED = a_judgement("overhead", "overhead_p95_ms", maximum=5.0)


def test_the_first_lines_say_the_verdict_the_counts_and_what_was_judged() -> None:
    lines = summary([a_run(FAILED, PASSED, exit_code=1)]).splitlines()
    assert lines[0] == "## perfgate: FAIL"
    assert lines[2] == (
        "**1 PASS, 1 FAIL, 0 INVALID** of 2 limits; <code>litellm 1.106.2</code>, profile <code>quick</code>; "
        "exit code 1: a limit or a test failed"
    )


def test_what_reads_in_ten_seconds_is_short_and_everything_else_is_collapsed() -> None:
    judged = [a_judgement("overhead", f"overhead_p{p}_ms", maximum=5.0 + p) for p in (50, 95, 99)] * 10
    before, *rest = summary([a_run(*judged)]).split("<details>")
    shown = rendered(before).text
    assert len(shown.split()) < 220
    assert len([line for line in before.splitlines() if line.startswith("|")]) == 2 + 3
    assert len([line for line in rest[0].splitlines() if line.startswith("|")]) == 2 + 30
    assert all(part.rstrip().endswith("</details>") for part in rest)


def test_the_three_worst_stand_first_with_the_reason_of_each_that_did_not_pass() -> None:
    invalid = a_judgement("latency", "latency_p95_ms", synthetic.measurement(scenario="latency", lag_ms=9))
    glance = summary([a_run(PASSED, invalid, FAILED, PASSED, exit_code=1)]).split("<details>")[0]
    rows = [line for line in glance.splitlines() if line.startswith("| **")]
    assert [row.split("**")[1] for row in rows] == ["FAIL", "INVALID", "PASS"]
    assert "- FAIL <code>overhead</code> gateway overhead, p95: <code>the interval is beyond the limit</code>" in glance
    assert "- INVALID <code>latency</code>" in glance
    assert "the generator sent late" in glance
    assert "- PASS" not in glance


def test_a_run_that_passed_shows_what_is_closest_to_its_limit() -> None:
    assert "Closest to their limits:" in summary([a_run(PASSED)])


def test_a_waiver_stands_where_it_cannot_be_overlooked() -> None:
    waived = a_judgement("overhead", "overhead_p95_ms", maximum=5.0, ceiling=60.0)
    text = summary([a_run(waived)])
    glance = rendered(text.split("<details>")[0]).text
    assert "1 PASS (1 of them waived), 0 FAIL, 0 INVALID of 1 limits" in glance
    assert (
        "WAIVER overhead: gateway overhead, p95: at most 5 ms is waived up to at most 60 ms until 9999-12-31 "
        "(thresholds.yaml:9), needed: mended soon (https://x.test/1)"
    ) in glance
    assert "| **PASS**, waived | <code>overhead</code>" in text


def test_an_invalid_run_says_that_this_is_no_pass() -> None:
    invalid = a_judgement("overhead", "overhead_p95_ms", synthetic.measurement(lag_ms=9))
    text = summary([a_run(invalid)])
    assert text.startswith("## perfgate: INVALID")
    assert "INVALID is not a pass" in text
    assert "<code>not fit&#58; sent 100 % of the offered load" in text


def test_what_has_no_verdict_is_named() -> None:
    limits = {f"scenario_{number}": ["error_ratio"] for number in range(5)}
    text = rendered(summary([a_run(limits=limits)])).text
    assert "INCOMPLETE scenario_0 did not run" in text
    assert "and 2 more without a verdict" in text


def test_apparatus_versions_host_detectable_effect_and_command_are_there() -> None:
    service = ServiceRecord(
        name="litellm 1.106.2 (litellm-1)",
        facts={"source": {"words": "litellm 1.106.2"}, "packages": {"listed": ["litellm==1.106.2"]}},
    )
    glance = rendered(summary([a_run(PASSED, services=[service])]).split("<details>")[0]).text
    assert "apparatus healthy in 1 of 1 scenarios; overhead: sent 100 % of the offered load" in glance
    assert "versions litellm 1.106.2 (packages sha256:" in glance
    assert "host 2 cores, AMD EPYC" in glance
    assert "fails from is the true value, or slowdown, that this run would have failed with a chance of 80 %" in glance
    assert "pytest --profile quick --litellm 1.106.2 --stack processes --seed 1" in glance


def test_a_comparison_names_the_baseline_and_the_slowdown_that_would_have_failed() -> None:
    judged = a_compared_judgement("cpu_per_request_ms", two_arms(1.5))
    text = summary([a_run(judged, baseline="litellm 1.79.3", exit_code=1)])
    assert "<code>litellm 1.106.2</code> against <code>litellm 1.79.3</code>" in text
    (row,) = [line for line in text.split("<details>")[0].splitlines() if line.startswith("| **FAIL")]
    assert "8 -> 12 ms" in row
    assert row.split("|")[-2].strip().startswith("+")


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("", "against litellm 1.79.3, profile"),
        (AS_ASKED, "against litellm 1.79.3 (as asked), profile"),
        (
            "the base branch's, requirements.txt line 3 at 0123456789ab",
            "against litellm 1.79.3 (the base branch's, requirements.txt line 3 at 0123456789ab), profile",
        ),
    ],
    ids=["not known", "as asked", "of a branch"],
)
def test_of_a_baseline_it_is_said_why_it_is_that_one(why: str, said: str) -> None:
    assert said in rendered(summary([a_run(PASSED, baseline="litellm 1.79.3", baseline_why=why)])).text


def test_without_a_baseline_nothing_is_said_of_it() -> None:
    assert "against" not in rendered(summary([a_run(PASSED, baseline_why="nobody's")]).split("<details>")[0]).text


def test_a_limit_that_is_not_the_files_own_is_starred_and_explained() -> None:
    text = summary([a_run(a_judgement("overhead", "overhead_p95_ms", basis="25 scaled ×1.30"))])
    assert "at most 25 ms \\*" in text
    assert "(<code>25 scaled ×1.30</code>)" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_of_a_record_is_shown_as_text(text: str) -> None:
    read = rendered(f"| a | b |\n| --- | --- |\n| {code(text)} | c |\n")
    assert read.elements <= OURS
    assert read.attributes == []
    assert " ".join(text.split()) in read.text


@pytest.mark.parametrize("text", HOSTILE)
def test_no_field_of_a_record_can_add_markup(text: str) -> None:
    judged = PASSED.model_copy(
        update={
            "scenario": text,
            "metric": text,
            "reason": text,
            "detail": text,
            "verdict": "FAIL",
            "apparatus": text,
            "limit": PASSED.limit.model_copy(update={"why": text, "path": text, "basis": text}),
        }
    )
    service = ServiceRecord(name=text, facts={"version": text, "image": {"name": text, "digest": text}})
    hostile = a_run(
        judged,
        gateway=text,
        baseline=text,
        baseline_why=text,
        profile=text,
        command=["pytest", text],
        notes=[text],
        scenarios=[text],
        limits={text: [text, "another"]},
        thresholds_path=text,
        thresholds_sha256=text,
        perfgate_version=text,
        started_utc=text,
        host={**HOST, "cpu_model": text},
        services=[service],
    )
    for records in ([hostile], [hostile, a_run(PASSED)]):
        read = rendered(summary(records))
        assert read.elements <= OURS
        assert read.attributes == []
        assert " ".join(text.split()) in " ".join(read.text.split())


def test_two_runs_stand_side_by_side_and_different_hosts_are_warned_of() -> None:
    runs = [a_run(PASSED), a_run(FAILED, host={**HOST, "cores_allowed": 4}, exit_code=1)]
    text = summary(runs)
    first, *_ = text.split("## perfgate 1:")
    shown = rendered(first).text
    assert "WARNING runs 1 and 2 are of different hosts" in shown
    assert "cores allowed: 2 and 4" in shown
    assert "PASS 11.9 ms" in shown
    assert "FAIL 11.9 ms" in shown
    assert "## perfgate 2: FAIL" in text


def many(count: int) -> Record:
    why = PASSED.limit.model_copy(update={"why": "a reason that is as long as reasons are " * 7})
    return a_run(*[PASSED.model_copy(update={"limit": why})] * count)


def test_what_does_not_fit_is_left_out_row_by_row_and_it_is_said() -> None:
    text = summary([many(4_000)])
    assert STEP_SUMMARY_BYTES_MAX - 1_000 < len(text.encode()) <= STEP_SUMMARY_BYTES_MAX
    assert "more are left out, for GitHub shows no more: report.html has them all" in text
    assert text.startswith("## perfgate: PASS")
    assert text.count("<details>") == text.count("</details>") == 2
    # The table of verdicts is kept longer than the reasons.
    assert len([line for line in text.splitlines() if line.startswith("| **PASS")]) == 4_000 + 3


def test_where_room_is_short_the_table_gets_shorter_and_then_there_is_none() -> None:
    whole = summary([many(50)])
    short = summary([many(50)], 6_000)
    assert len(short.encode()) <= 6_000
    assert short.split("<details>")[0] == whole.split("<details>")[0]
    with pytest.raises(NoRoom, match="there is room for 100"):
        summary([many(50)], 100)


def test_a_summary_that_fits_leaves_nothing_out() -> None:
    text = summary([many(50)])
    assert "left out" not in text
    assert summary([many(50)], len(text.encode())) == text
    assert "left out" in summary([many(50)], len(text.encode()) - 1)
