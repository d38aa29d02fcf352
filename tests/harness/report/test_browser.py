"""Does a real browser draw the report, and that of a history: light, dark, on a desk, on a phone, asking nobody?

Debian's chromium (or a Google Chrome that is there), headless, driven by Playwright. Screenshots of what was looked at
stay in `.perfgate/browser`.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from perfgate.cli import main
from perfgate.experiment.measurement import FaultCycle, GatewayUse, Measurement, Window
from perfgate.history.lines import lines
from perfgate.history.page import page as page_of_history
from perfgate.history.table import Report
from perfgate.record import SCHEMA_VERSION, Record
from perfgate.record_entries import measurement_record
from tests.harness import synthetic
from tests.harness.headless_browser import ARTIFACTS, DESK_PX, PHONE_PX, running_browser
from tests.harness.history.conftest import CONDITIONS, measured
from tests.harness.report.conftest import HOST, a_compared_judgement, a_judgement, a_record, two_arms

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

#: Of latency, overhead and slowdown by round, CPU and memory.
FIGURES: Final = 8
#: WCAG 2.2: 1.4.3 of text, 1.4.11 of what must be seen to understand a graph.
CONTRAST_OF_TEXT: Final = 4.5
CONTRAST_OF_GRAPHS: Final = 3.0
TEXT_PX_MIN: Final = 9

Scheme = Literal["light", "dark"]

#: For every drawing: its size, how much of it is drawn, its smallest text, and the colours that have to be told apart.
LOOK: Final = """() => [...document.querySelectorAll("figure svg")].map((svg) => {
    const box = svg.getBoundingClientRect(), scale = svg.getScreenCTM().a;
    const drawn = [...svg.querySelectorAll("path")].filter((path) =>
        getComputedStyle(path).stroke !== "none" && path.getTotalLength() > 5);
    const texts = [...svg.querySelectorAll("text")].filter((text) => text.textContent.trim());
    return {
        width: box.width, height: box.height, right: box.right, drawn: drawn.length, texts: texts.length,
        smallest: Math.min(...texts.map((text) => parseFloat(getComputedStyle(text).fontSize) * scale)),
        inks: [...new Set(texts.map((text) => getComputedStyle(text).fill))],
        lines: [...new Set(drawn.filter((path) => parseFloat(getComputedStyle(path).strokeWidth) > 1)
            .map((path) => getComputedStyle(path).stroke))],
    };
})"""


def faulting() -> Measurement:
    """A gateway before, while and after a dependency failed, in windows of 4 s."""
    windows = []
    for number, (arm, latency_ms) in enumerate(
        (("before", 12.0),) * 4 + (("during", 80.0),) * 6 + (("after", 14.0),) * 4
    ):
        opened = 10.0 + 5 * number
        load = replace(
            synthetic.load_result(latency_ms, seed=number),
            window_opened_mono_s=opened,
            window_closed_mono_s=opened + 4,
            drained_mono_s=opened + 4.1,
        )
        use = GatewayUse(1.5 + number / 10, 10**8, 10**8 + number * 10**6, 200, 0.001)
        windows.append(Window(arm, 0, number, 0, number, load, use))
    arms = tuple(replace(synthetic.GATEWAY, name=name) for name in ("before", "during", "after"))
    faults = (FaultCycle(0, 29.0, 59.0, 61.0),)
    return replace(synthetic.measurement(scenario="fault_sink_hangs"), arms=arms, windows=tuple(windows), faults=faults)


def a_run(**changes: Any) -> Record:
    plain, compared = synthetic.measurement(failed=3), two_arms(1.5)
    judged = [a_judgement("overhead", f"overhead_p{p}_ms", plain, maximum=m) for p, m in ((50, 25), (95, 45), (99, 9))]
    judged.append(a_judgement("overhead", "error_ratio", plain, maximum=0.001))
    judged.append(a_compared_judgement("cpu_per_request_ms", compared))
    measured = [measurement_record(each) for each in (plain, compared, faulting())]
    limits = {"overhead": ["overhead_p95_ms"], "fault_sink_hangs": ["recovery_s"]}
    fields = {"host": HOST, "exit_code": 1, "measurements": measured, "judgements": judged, "limits": limits}
    return a_record(**{**fields, **changes})


@dataclass(slots=True)
class Seen:
    """A page that is open, and everything it did that it should not.

    Args:
        page: in the browser.
        complaints: of its console, and errors of its scripts.
        asked_for: addresses that it requested.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    asked_for: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Listen from the beginning."""

        def on_console(message: ConsoleMessage) -> None:
            self.complaints.append(f"{message.type}: {message.text}")

        def on_request(request: Request) -> None:
            self.asked_for.append(request.url)

        self.page.on("console", on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", on_request)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "run.json").write_text(a_run().model_dump_json(indent=1), encoding="utf-8")
    assert main(["report", str(folder / "run.json"), "--out", str(folder)]) == 0
    return folder / "report.html"


@pytest.fixture(scope="module")
def report_of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, of different hosts."""
    folder = tmp_path_factory.mktemp("report-of-two")
    runs = {"first.json": a_run(), "second.json": a_run(host={**HOST, "cpu_model": "Intel Xeon"}, seed=2)}
    for name, run in runs.items():
        (folder / name).write_text(run.model_dump_json(indent=1), encoding="utf-8")
    assert main(["report", *(str(folder / name) for name in runs), "--out", str(folder)]) == 0
    return folder / "report.html"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty releases, of which each sixth is another 12 % worse, and the last better again."""
    names = [f"1.{number}.3" for number in range(80, 100)]
    ratios = {name: 1.12 ** (number // 6) for number, name in enumerate(names)} | {names[-1]: 1.0}
    order = (CONDITIONS.anchor, *names)
    drawn = lines(order, {name: measured(name, ratio) for name, ratio in ratios.items()}, CONDITIONS.anchor)
    series = Report("perfgate history --from 1.79", CONDITIONS, order, drawn, (("1.82.7", "refused: it steals"),))
    path = tmp_path_factory.mktemp("history") / "history.html"
    path.write_text(page_of_history(series), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@contextmanager
def opening(browser: Browser) -> Iterator[Callable[..., Seen]]:
    """Opens pages, which are closed with the context."""
    contexts = []

    def open_page(path: Path, scheme: Scheme = "light", width_px: int = DESK_PX, *, scripts: bool = True) -> Seen:
        context = browser.new_context(
            viewport={"width": width_px, "height": 844},
            color_scheme=scheme,
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )
        contexts.append(context)
        seen = Seen(context.new_page())
        seen.page.goto(path.as_uri())
        return seen

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Seen]]:
    """Opens a page of its own: `opened(path, scheme, width_px)`."""
    with opening(browser) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def looked_at(browser: Browser) -> Iterator["Looked"]:
    """Opens a page once for all tests that look at it alike, and do no more than to open what is folded."""
    with opening(browser) as open_page:
        yield cache(open_page)


def contrast(first: str, second: str) -> float:
    """Of two colours as a browser tells them, by WCAG's formula.

    >>> contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)")
    21.0
    """
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    assert colour.startswith("rgb("), colour
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


Looked = Callable[[Path, Scheme, int], Seen]

looks = pytest.mark.parametrize("scheme", ["light", "dark"])
widths = pytest.mark.parametrize("width_px", [DESK_PX, PHONE_PX])


@looks
@widths
def test_every_plot_is_drawn_and_readable(looked_at: Looked, report: Path, scheme: Scheme, width_px: int) -> None:
    assert_readable(looked_at(report, scheme, width_px).page, f"report-{scheme}-{width_px}", FIGURES, width_px)


def assert_readable(page: Page, name: str, figures: int, width_px: int) -> None:
    """Every figure is drawn and can be read; a screenshot of that name stays."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    found = page.evaluate(LOOK)
    assert len(found) == figures
    for look in found:
        assert look["width"] > 300
        assert look["height"] > 200
        assert look["right"] <= width_px
        assert look["drawn"] >= 4
        assert look["texts"] >= 6
        assert look["smallest"] >= TEXT_PX_MIN
        assert min(contrast(ink, paper) for ink in look["inks"]) >= CONTRAST_OF_TEXT
        assert look["lines"]
        assert min(contrast(line, paper) for line in look["lines"]) >= CONTRAST_OF_GRAPHS


@widths
def test_dark_is_dark_and_light_is_light(looked_at: Looked, report: Path, width_px: int) -> None:
    papers = {}
    schemes: tuple[Scheme, ...] = ("light", "dark")
    for scheme in schemes:
        page = looked_at(report, scheme, width_px).page
        paper, ink = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
        assert contrast(paper, ink) > 7
        papers[scheme] = _luminance(paper)
    assert papers["dark"] < 0.05 < 0.8 < papers["light"]


@looks
@widths
def test_nothing_is_fetched_and_the_console_is_empty(
    looked_at: Looked, report: Path, scheme: Scheme, width_px: int
) -> None:
    seen = looked_at(report, scheme, width_px)
    seen.page.wait_for_load_state("networkidle")
    assert seen.complaints == []
    assert [address for address in seen.asked_for if not address.startswith("data:")] == [report.as_uri()]


def test_a_phone_scrolls_down_and_never_sideways(looked_at: Looked, report: Path, report_of_two: Path) -> None:
    for path in (report, report_of_two):
        page = looked_at(path, "light", PHONE_PX).page
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_PX
        assert page.evaluate("document.documentElement.scrollHeight") > 844


def test_two_runs_stand_beside_each_other_on_a_desk(opened: Callable[..., Seen], report_of_two: Path) -> None:
    page = opened(report_of_two).page
    page.screenshot(path=ARTIFACTS / "two-runs.png", full_page=True)
    assert "are of different hosts" in page.locator(".warning").first.inner_text()
    boxes = [figure.bounding_box() for figure in page.locator("figure").all()]
    assert len(boxes) == 2 * FIGURES
    tops = [box["y"] for box in boxes if box is not None]
    assert len(set(tops)) < len(tops), "some stand beside others"


@looks
def test_the_table_of_a_figure_opens_by_keyboard(opened: Callable[..., Seen], report: Path, scheme: Scheme) -> None:
    page = opened(report, scheme).page
    summary = page.locator("figure summary").first
    table = page.locator("figure table").first
    assert not table.is_visible()
    summary.focus()
    page.keyboard.press("Enter")
    assert table.is_visible()
    assert "p95" in table.inner_text()


@looks
@widths
def test_axe_finds_nothing_that_keeps_anybody_out(
    looked_at: Looked, report: Path, scheme: Scheme, width_px: int
) -> None:
    assert_accessible(looked_at(report, scheme, width_px).page)


@pytest.mark.parametrize(("scheme", "width_px"), [("light", PHONE_PX), ("dark", DESK_PX)])
def test_nor_when_two_runs_stand_beside_each_other(
    looked_at: Looked, report_of_two: Path, scheme: Scheme, width_px: int
) -> None:
    """Each width and each scheme once: they change nothing of each other, and the page is as one of a run, twice."""
    assert_accessible(looked_at(report_of_two, scheme, width_px).page)


def assert_accessible(page: Page) -> None:
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found] == []


def test_the_download_is_the_record_byte_for_byte(opened: Callable[..., Seen], report: Path, tmp_path: Path) -> None:
    seen = opened(report)
    with seen.page.expect_download() as download:
        seen.page.get_by_role("button", name="Download run.json").click()
    assert download.value.suggested_filename == "run.json"
    download.value.save_as(tmp_path / "saved.json")
    content = (tmp_path / "saved.json").read_bytes()
    assert content == (report.parent / "run.json").read_bytes()
    assert hashlib.sha256(content).hexdigest() in seen.page.locator("#data ~ p.muted").all_inner_texts()[-1]
    assert not seen.page.get_by_text("The download needs scripts").is_visible()
    assert json.loads(content)["schema_version"] == SCHEMA_VERSION
    assert seen.complaints == []


def test_without_scripts_everything_is_there_but_the_download(opened: Callable[..., Seen], report: Path) -> None:
    page = opened(report, scripts=False).page
    assert page.locator("figure svg").count() == FIGURES
    assert page.locator("figure svg").first.is_visible()
    assert page.get_by_text("The download needs scripts").is_visible()


@looks
@widths
def test_a_history_is_drawn_and_readable_without_asking_anybody_and_keeps_nobody_out(
    opened: Callable[..., Seen], history: Path, scheme: Scheme, width_px: int
) -> None:
    seen = opened(history, scheme, width_px)
    assert_readable(seen.page, f"history-{scheme}-{width_px}", 4, width_px)
    seen.page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width_px
    seen.page.wait_for_load_state("networkidle")
    assert seen.complaints == []
    assert [address for address in seen.asked_for if not address.startswith("data:")] == [history.as_uri()]
    assert_accessible(seen.page)


def test_what_a_record_holds_does_not_run(opened: Callable[..., Seen], tmp_path: Path) -> None:
    hostile = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    run = a_run(gateway=hostile, notes=[hostile], profile=hostile)
    (tmp_path / "run.json").write_text(run.model_dump_json(), encoding="utf-8")
    assert main(["report", str(tmp_path / "run.json"), "--out", str(tmp_path)]) == 0
    seen = opened(tmp_path / "report.html")
    assert seen.page.title().startswith("perfgate: FAIL <img src=x")
    assert seen.complaints == []
    assert seen.page.locator("img").count() == 0
