"""What did a search for the first bad version come to, in words for people?

Comes in: an `Answer`. Goes out: Markdown. No I/O.
"""

import math
from collections.abc import Mapping
from typing import Final

from perfgate.history.bisection import LOOKS, Answer, Asked
from perfgate.history.metrics import KEPT
from perfgate.history.table import as_cell, ends, share_words, shortened, table
from perfgate.stats.decision import Decision
from perfgate.verdict import percent_words

#: Of why versions stayed undecided, so many are told in the sentence; the table has all.
SHOWN_WHYS: Final = 3

_WORDS: Final = {Decision.PASS: "good", Decision.FAIL: "bad", Decision.UNDECIDED: "undecided"}


def answer_words(answer: Answer, described: Mapping[str, str] | None = None) -> str:
    """The answer in one sentence, then what it rests on.

    Args:
        answer: the answer.
        described: what people know each version by, where its name alone says little: a commit's date and subject.
    """
    head = ["version", f"{KEPT[answer.metric].title}, against {answer.good}", "interval", "runs", "is"]
    body = [_row(asked) for asked in answer.asked]
    if described:
        head.append("commit")
        for asked, row in zip(answer.asked, body, strict=True):
            row.append(as_cell(described[asked.version]))
    paragraphs = (_sentence(answer, described or {}), _several_steps(answer), table(head, body))
    return "\n\n".join(filter(None, paragraphs))


def judged_words(asked: Asked, metric: str, good: str, allowed_ratio: float, alpha: float) -> str:
    """One version that was judged for itself, in one sentence.

    Args:
        asked: what came of it.
        metric: that was asked about.
        good: what it stood beside.
        allowed_ratio: the slowdown ratio up to which it is good.
        alpha: the chance of a wrong answer.
    """
    title = KEPT[metric].title
    allowed = f"bad is more than {percent_words(allowed_ratio)} against {good}"
    if asked.slowdown is None:
        return f"{asked.version} is undecided: {title}, {allowed}: {_why(asked)}"
    runs = f"{asked.runs} of {LOOKS} runs"
    found = f"{title} {percent_words(asked.slowdown.ratio)} ({_interval(asked)}) after {runs}, {allowed}"
    if asked.decision is Decision.UNDECIDED:
        return f"{asked.version} is undecided: {found}: {_why(asked) or 'the interval includes the limit'}"
    return f"{asked.version} is {_WORDS[asked.decision]}: {found}; sure by at least {share_words(1 - alpha)}"


def _sentence(answer: Answer, described: Mapping[str, str]) -> str:
    title, limit = KEPT[answer.metric].title, percent_words(answer.allowed_ratio)
    allowed = f"bad is more than {limit} against {answer.good}"
    if not answer.candidates:
        ends_asked = answer.asked[0]
        if ends_asked.decision is Decision.PASS:
            return f"nothing to search for: {title} of {answer.bad} is good ({allowed})"
        why = _why(ends_asked) or "its interval includes the limit after the last run"
        return f"nothing was searched for: whether {title} of {answer.bad} is bad was not decided ({allowed}): {why}"
    sure = f"sure by at least {share_words(answer.confidence)}"
    if answer.first_bad is not None:
        return (
            f"first bad: {_named(answer.first_bad, described)}; {answer.last_good} is good: {title}, {allowed}; {sure}"
        )
    undecided = {asked.version: asked for asked in answer.asked if asked.decision is Decision.UNDECIDED}
    named = [undecided[name] for name in answer.candidates if name in undecided]
    whys = "; ".join(
        f"{asked.version}: {_why(asked) or 'its interval includes the limit'}" for asked in named[:SHOWN_WHYS]
    )
    if len(named) > SHOWN_WHYS:
        whys += f"; {len(named) - SHOWN_WHYS} more in the table"
    among = ", ".join(_named(name, described) for name in answer.candidates)
    return (
        f"the first bad one is among {among}; {answer.last_good} is good: {title}, {allowed}; "
        f"{sure}; undecided after the last run: {whys}"
    )


def _several_steps(answer: Answer) -> str:
    """What to ask instead, where the limit lies in the middle of what got worse step by step; else nothing."""
    open_ones = [
        asked.slowdown
        for asked in answer.asked
        if asked.version in answer.candidates and asked.decision is Decision.UNDECIDED and asked.slowdown is not None
    ]
    worst, alpha = answer.asked[0].slowdown, answer.asked[0].alpha
    if not open_ones or worst is None:
        return ""
    first = math.sqrt(max(1.0, min(each.ratio for each in open_ones)))
    last = math.sqrt(max(each.ratio for each in open_ones) * worst.ratio)
    # A limit that an open version's interval includes would leave it open again.
    limits = {}
    if 1.0 < first < min(each.low(alpha) for each in open_ones):
        limits["first"] = first
    if max(each.high(alpha) for each in open_ones) < last < worst.low(alpha):
        limits["last"] = last
    ways = [f"--margin {(limit - 1) * 100:.1f}% asks for the {step} step" for step, limit in limits.items()]
    if not ways:
        return ""
    return (
        f"It may have got worse in several steps, one of which ends near the limit: {', '.join(ways)}; what is "
        "measured counts."
    )


def _row(asked: Asked) -> list[str]:
    if asked.slowdown is None:
        return [asked.version, "", "", str(asked.runs), as_cell(f"undecided: {_why(asked)}")]
    return [
        asked.version,
        percent_words(asked.slowdown.ratio),
        _interval(asked),
        str(asked.runs),
        _WORDS[asked.decision],
    ]


def _why(asked: Asked) -> str:
    return shortened(asked.why)


def _interval(asked: Asked) -> str:
    assert asked.slowdown is not None, "it was measured"
    return ends(asked.slowdown.low(asked.alpha), asked.slowdown.high(asked.alpha))


def _named(version: str, described: Mapping[str, str]) -> str:
    return f"{version} ({described[version]})" if version in described else version
