"""Is a text that somebody else wrote one line of what can be seen?"""

import pytest

from perfgate.report.plain_text import CHARS_MAX, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("litellm 1.106.2", "litellm 1.106.2"),
        ("two\n\n  lines\tand a tab", "two lines and a tab"),
        ("an\x1b[31mescape\x00", "an\ufffd[31mescape\ufffd"),
        ("abc\u202egnp.exe", "abc\ufffdgnp.exe"),
        ("a\u200bb", "a\ufffdb"),
        ("caf\u00e9 \u65e5\u672c", "caf\u00e9 \u65e5\u672c"),
    ],
    ids=["as it is", "lines", "control", "right to left", "no width", "other scripts"],
)
def test_only_what_can_be_seen_is_left(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_long_text_ends_in_a_mark() -> None:
    assert plain("x" * CHARS_MAX) == "x" * CHARS_MAX
    assert plain("x" * (CHARS_MAX + 1)) == "x" * CHARS_MAX + " …"
    assert plain("abcdef", 3) == "abc …"
