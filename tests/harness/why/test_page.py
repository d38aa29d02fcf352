"""Is the page whole, without network, and do names in it stay names?"""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Final

import pytest

from perfgate.experiment.arms import BASELINE, CANDIDATE
from perfgate.why.answer import answer_of
from perfgate.why.flame_graph import FlameGraph, flame_graph
from perfgate.why.gains import gains_of
from perfgate.why.page import ROW_HEIGHT_PX, page
from perfgate.why.profiling import Profile
from tests.harness.why.conftest import APPARATUS, NEW, OLD, profile_of

HOSTILE: Final = (
    "<img src=x onerror=\"document.title='run'\"> (a.py)",
    "</script><script>document.title='run'</script> (b.py)",
    "</title></svg><iframe src='https://x.test'> (c\"onclick=\"d.py)",
)


class Tags(HTMLParser):
    """What a browser would make of it: elements, texts, and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.names: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def graph_of(profile: Profile) -> FlameGraph:
    return flame_graph(profile.us_per_request(BASELINE), profile.us_per_request(CANDIDATE))


def page_of(profile: Profile, *, is_drawn: bool = True, command: str = "perfgate why") -> str:
    answer = answer_of(profile, gains_of(profile), OLD, NEW, (), APPARATUS, command=command)
    return page(answer, graph_of(profile) if is_drawn else None)


def test_every_function_is_drawn_with_what_it_costs() -> None:
    text = page_of(profile_of({"main (app.py);hot (lib.py)": 40}, {"main (app.py);hot (lib.py)": 60}))
    tags = Tags(text)
    assert tags.texts.count("hot (lib.py)") >= 2, "in a table and in the drawing"
    assert "hot (lib.py): baseline 2,000 us, candidate 3,000 us of CPU a request, +1,000" in tags.texts
    assert tags.names.count("rect") == 3
    assert ("height", str(3 * ROW_HEIGHT_PX)) in tags.attributes
    assert 'class="box grew-4"' in text
    assert "Functions that gained most" in tags.texts


def test_what_shrank_is_of_another_colour() -> None:
    text = page_of(profile_of({"main (app.py);hot (lib.py)": 60}, {"main (app.py);hot (lib.py)": 40}))
    assert 'class="box shrank-4"' in text
    assert 'class="box grew-4"' not in text


def test_names_stay_names() -> None:
    stacks = dict.fromkeys(HOSTILE, 7)
    text = page_of(profile_of({}, stacks), command=HOSTILE[1])
    tags = Tags(text)
    assert not {"img", "iframe"} & set(tags.names)
    assert tags.names.count("script") == 1
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    for name in HOSTILE:
        assert name not in text
    assert HOSTILE[0] in tags.texts


def test_nothing_is_fetched_and_only_our_script_may_run() -> None:
    text = page_of(profile_of({"hot (lib.py)": 40}, {"hot (lib.py)": 60}))
    tags = Tags(text)
    addresses = [value for name, value in tags.attributes if name in ("src", "href", "action")]
    assert addresses == ["data:,"]
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (value for name, value in tags.attributes if name == "content" and "default-src" in value)
    assert f"script-src 'sha256-{allowed}'" in policy
    assert "default-src 'none'" in policy
    assert "url(" not in text
    assert "@import" not in text


def test_both_schemes_have_every_shade() -> None:
    text = page_of(profile_of({"hot (lib.py)": 40}, {"hot (lib.py)": 60}))
    light, dark = (text.split("prefers-color-scheme: dark")[place] for place in (1, 2))
    assert "color-scheme: light dark" in text
    for shade in ("grew", "shrank"):
        for step in range(1, 5):
            assert f"--{shade}-{step}: #" in light, "the last light colours stand after the first dark ones"
            assert f"--{shade}-{step}: #" in dark


def test_without_samples_it_says_so_and_warnings_come_first() -> None:
    text = page_of(profile_of({}, {}), is_drawn=False)
    assert "There is nothing to draw" in text
    assert "<rect" not in text
    text = page_of(profile_of({"hot (lib.py)": 40}, {"hot (lib.py)": 60}, behind_s=2.0))
    assert text.index("Not to be trusted") < text.index("Functions that gained most")


@pytest.mark.parametrize("title", ["CPU per request", "Packages", "What the profiler cost", "Reproduce"])
def test_sections_are_all_there(title: str) -> None:
    assert title in Tags(page_of(profile_of({"hot (lib.py)": 40}, {"hot (lib.py)": 60}))).texts
