"""Does a real browser draw the page, enlarge a part of it and find names, in light and dark, without asking anybody?

Debian's chromium (or a Google Chrome that is there), headless, driven by Playwright. Screenshots of what was looked at
stay in `.perfgate/browser`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request

from tests.harness.headless_browser import ARTIFACTS, DESK_PX, PHONE_PX, running_browser
from tests.harness.why.conftest import profile_of
from tests.harness.why.test_page import HOSTILE, page_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

#: `auth` is half of the candidate, and most of what it gained; `old` is gone.
BASELINE: Final = {
    "main (app.py);serve (server.py);auth (litellm/proxy/auth/user_api_key_auth.py)": 20,
    "main (app.py);serve (server.py);route (litellm/router.py)": 30,
    "main (app.py);serve (server.py);old (litellm/old.py)": 10,
}
CANDIDATE: Final = {
    "main (app.py);serve (server.py);auth (litellm/proxy/auth/user_api_key_auth.py);check (pydantic/main.py)": 40,
    "main (app.py);serve (server.py);auth (litellm/proxy/auth/user_api_key_auth.py)": 20,
    "main (app.py);serve (server.py);route (litellm/router.py)": 30,
}
#: Boxes as they are seen: what is drawn, and where.
SEEN: Final = """() => [...document.querySelectorAll(".box")].map((box) => {
    const place = box.querySelector("rect").getBoundingClientRect();
    return {name: box.querySelector("text").textContent, left: place.left, width: place.width, top: place.top,
            fill: getComputedStyle(box.querySelector("rect")).fill, isFound: box.classList.contains("found")};
}).filter((box) => box.width > 0)"""

Opened = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def complaints() -> list[str]:
    """Of every page's console, errors of scripts, and addresses that were asked for."""
    return []


@pytest.fixture
def opened(browser: Browser, tmp_path: Path, complaints: list[str]) -> Iterator[Opened]:
    """Opens a page of its own: `opened(text, scheme, width_px)`."""
    contexts = []

    def open_page(text: str, scheme: Any = "light", width_px: int = DESK_PX, *, scripts: bool = True) -> Page:
        path = tmp_path / "why.html"
        path.write_text(text, encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width_px, "height": 844}, color_scheme=scheme, java_script_enabled=scripts
        )
        contexts.append(context)
        page = context.new_page()

        def on_request(request: Request) -> None:
            if request.url not in (path.as_uri(), "data:,"):
                complaints.append(request.url)

        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", on_request)
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def text() -> str:
    return page_of(profile_of(BASELINE, CANDIDATE))


def seen(page: Page) -> dict[str, dict[str, Any]]:
    return {box["name"].split(" ")[0]: box for box in page.evaluate(SEEN)}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [DESK_PX, PHONE_PX])
def test_it_is_drawn_and_keeps_nobody_out(
    opened: Opened, text: str, complaints: list[str], scheme: str, width_px: int
) -> None:
    page = opened(text, scheme, width_px)
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"why-{scheme}-{width_px}.png", full_page=True)
    boxes = seen(page)
    assert boxes.keys() == {"all", "main", "serve", "auth", "check", "route", "old"}
    assert boxes["route"]["width"] == pytest.approx(boxes["all"]["width"] * 30 / 100, rel=0.02)
    assert boxes["check"]["top"] > boxes["auth"]["top"] > boxes["serve"]["top"]
    assert len({boxes[name]["fill"] for name in ("auth", "route", "old")}) == 3, "grew, the same, shrank"
    assert page.evaluate("document.documentElement.scrollWidth") <= width_px
    violations = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in violations] == []
    assert complaints == []


def test_a_click_enlarges_a_box_with_what_calls_it_and_a_button_shows_all_again(opened: Opened, text: str) -> None:
    page = opened(text)
    before = seen(page)
    page.locator(".box", has_text="auth").first.locator("rect").click()
    after = seen(page)
    assert after.keys() == {"all", "main", "serve", "auth", "check"}
    for name in after.keys() - {"check"}:
        assert after[name]["width"] == pytest.approx(before["all"]["width"], rel=0.01)
    assert after["check"]["width"] == pytest.approx(before["all"]["width"] * 40 / 60, rel=0.01)
    assert "candidate 3,000 us" in page.locator("#flame-said").inner_text()
    page.get_by_role("button", name="Show all").click()
    again = seen(page)
    assert again.keys() == before.keys()
    for name, box in again.items():
        assert (box["left"], box["width"]) == pytest.approx((before[name]["left"], before[name]["width"]), abs=0.5)


def test_names_are_found(opened: Opened, text: str) -> None:
    page = opened(text)
    page.get_by_label("Find a function or file").fill("LITELLM/proxy")
    assert {name for name, box in seen(page).items() if box["isFound"]} == {"auth"}
    assert page.locator("#flame-said").inner_text() == "1 found"
    page.get_by_label("Find a function or file").fill("")
    assert not [box for box in seen(page).values() if box["isFound"]]


def test_without_scripts_everything_is_there_but_what_enlarges(opened: Opened, text: str) -> None:
    page = opened(text, scripts=False)
    assert page.locator(".box").count() == 7
    assert page.locator(".box rect").first.is_visible()
    assert not page.locator("#flame-controls").is_visible()


def test_hostile_names_do_not_run(opened: Opened, complaints: list[str]) -> None:
    page = opened(page_of(profile_of({}, dict.fromkeys(HOSTILE, 7))))
    assert page.title().startswith("perfgate why: litellm 1.106.2")
    assert page.locator("img, iframe").count() == 0
    assert page.locator(".box").count() == 1 + len(HOSTILE)
    assert complaints == []
