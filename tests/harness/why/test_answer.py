"""Is what was found said in words that hold, and first of all what speaks against it?"""

from typing import Any

import pytest

from perfgate.stack.packages import PackageDifference
from perfgate.why.answer import Answer, Section, answer_of, first_words
from perfgate.why.gains import gains_of
from perfgate.why.markdown import code, markdown
from perfgate.why.profiling import Profile
from tests.harness.why.conftest import APPARATUS, NEW, OLD, profile_of

HOT = ({"main (app.py);hot (lib.py)": 40}, {"main (app.py);hot (lib.py)": 60})
HOSTILE = "<img src=x onerror=alert(1)>|`code` (a.py)"


def answer(profile: Profile, **others: Any) -> Answer:
    packages = others.pop("packages", ())
    given = {"command": "perfgate why --baseline 1.79.3", **others}
    return answer_of(profile, gains_of(profile), OLD, NEW, packages, APPARATUS, **given)


def section(of: Answer, title: str) -> Section:
    (found,) = (each for each in of.sections if each.title == title)
    return found


def test_the_function_that_gained_most_is_the_first_row_with_both_values() -> None:
    said = answer(profile_of(*HOT))
    assert section(said, "Functions that gained most").rows == (
        ("hot (lib.py)", "2,000", "3,000", "+1,000", "+1,000 to +1,000", "2,000", "3,000", "yes"),
    )
    assert first_words(gains_of(profile_of(*HOT))) == (
        "hot (lib.py) gained most: +1,000 us of CPU a request of its own"
    )


def test_a_gain_within_chance_is_called_none() -> None:
    gains = gains_of(profile_of({"hot (x.py)": 40}, {"hot (x.py)": 41}, rounds=6, wobble=20))
    assert first_words(gains) == "no function gained more than chance explains"
    said = answer(profile_of({"hot (x.py)": 40}, {"hot (x.py)": 41}, rounds=6, wobble=20))
    assert section(said, "Functions that gained most").rows[0][-1] == "no"


def test_the_kernels_clock_says_how_much_there_is_to_explain_and_what_the_profiler_cost() -> None:
    said = answer(profile_of(*HOT, clock_ms=(8.0, 10.0), profiler_cost_ratio=1.05))
    words = section(said, "CPU per request").words
    assert "in windows without the profiler: 8 ms -> 10 ms, +25.0 % (+25.0 to +25.0, 95 % interval)" in words
    assert "Under the profiler: 2,000 -> 3,000 us, a gain of +1,000 us (+1,000 to +1,000)" in words
    assert "in 4 rounds of 2 generations; at least 400 requests of each" in words
    assert section(said, "What the profiler cost").rows == (
        ("baseline", "8 ms", "8.4 ms", "1.050 (1.050 to 1.050)", "2 ms", "24%", "160", "0.0%"),
        ("candidate", "10 ms", "10.5 ms", "1.050 (1.050 to 1.050)", "3 ms", "29%", "240", "0.0%"),
    )


def test_functions_of_one_arm_alone_and_packages_have_tables_of_their_own() -> None:
    packages = [PackageDifference("httptools", "0.7.1", None), PackageDifference("litellm", "1.79.3", "1.106.2")]
    profile = profile_of({"a (x.py);gone (old.py)": 20}, {"a (x.py);new (new.py)": 30})
    said = answer(profile, packages=packages, notes=["the access log is on in baseline, off in candidate"])
    assert section(said, "Seen in the candidate alone").rows == (("new (new.py)", "1,500", "1,500"),)
    assert section(said, "Seen in the baseline alone").rows == (("gone (old.py)", "1,000", "1,000"),)
    assert section(said, "Functions that gained most").rows[0][:3] == ("new (new.py)", "not seen", "1,500")
    assert section(said, "Functions that lost most").rows[0][:3] == ("gone (old.py)", "1,000", "not seen")
    assert section(said, "Packages").rows == (
        ("httptools", "0.7.1", "not installed"),
        ("litellm", "1.79.3", "1.106.2"),
    )
    assert section(said, "What else differs").rows == (("the access log is on in baseline, off in candidate",),)


def test_arms_that_are_alike_have_nothing_to_tell() -> None:
    said = answer(profile_of(HOT[0], HOT[0]))
    for title in ("Functions that gained most", "Gained most with what they call", "Functions that lost most"):
        assert section(said, title).rows == ()
        assert section(said, title).words.startswith("None did.")
    assert section(said, "Packages").words == "Both have the same packages."
    assert said.warnings == ()


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ({"failed": 5}, "5.00% of the requests of baseline failed, so that failures were profiled too: 20 http_500"),
        ({"behind_s": 2.5}, "the profiler was 2.5 s late in a window of the candidate"),
        ({"errors": 20}, "of 33% of the baseline's samples no stack could be read, at most 25% may"),
        ({"lag_ms": 9.0}, "the generator sent late"),
    ],
)
def test_what_speaks_against_it_comes_first(how: dict[str, Any], complaint: str) -> None:
    said = answer(profile_of(*HOT, **how))
    assert any(complaint in warning for warning in said.warnings), said.warnings
    text = markdown(said)
    assert text.index("**Not to be trusted**: ") < text.index("## CPU per request")


def test_a_few_unread_samples_are_said_and_no_reason_to_doubt() -> None:
    said = answer(profile_of(*HOT, errors=1))
    assert said.warnings == ()
    assert [row[-1] for row in section(said, "What the profiler cost").rows] == ["2.4%", "1.6%"]


def test_the_markdown_has_all_sections_and_the_command() -> None:
    text = markdown(answer(profile_of(*HOT)))
    assert text.startswith("# Why `litellm 1.106.2` costs what it does, beside `litellm 1.79.3`\n")
    assert "\n    perfgate why --baseline 1.79.3\n" in text
    assert "| `hot (lib.py)` | 2,000 | 3,000 | +1,000 |" in text
    assert text.count("\n## ") == 8
    assert text.endswith("|\n")


def test_hostile_names_stay_in_their_cells() -> None:
    assert code(HOSTILE) == "`<img src=x onerror=alert(1)>\\|'code' (a.py)`"
    text = markdown(answer(profile_of({}, {HOSTILE: 5, "line\x1bbreak (a\tb.py)": 4})))
    rows = [line for line in text.splitlines() if "onerror" in line]
    assert rows
    for row in rows:
        assert "`<img src=x onerror=alert(1)>\\|'code' (a.py)`" in row
    assert "\x1b" not in text
