"""What did a search for the first bad version come to, in words for people?

Comes in: an `Answer`. Goes out: Markdown. No I/O.
"""

from perfgate.history.bisection import Answer, Asked
from perfgate.history.metrics import KEPT
from perfgate.history.table import ends, share_words, table
from perfgate.stats.decision import Decision
from perfgate.verdict import percent_words

_WORDS = {Decision.PASS: "good", Decision.FAIL: "bad", Decision.UNDECIDED: "undecided"}


def answer_words(answer: Answer) -> str:
    """The answer in one sentence, then what it rests on."""
    head = ["version", f"{KEPT[answer.metric].title}, against {answer.good}", "interval", "runs", "is"]
    body = [_row(asked) for asked in answer.asked]
    return f"{_sentence(answer)}\n\n{table(head, body)}"


def _sentence(answer: Answer) -> str:
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
        return f"first bad: {answer.first_bad}; {answer.last_good} is good: {title}, {allowed}; {sure}"
    undecided = [asked for asked in answer.asked if asked.decision is Decision.UNDECIDED]
    named = [asked for asked in undecided if asked.version in answer.candidates]
    whys = "; ".join(f"{asked.version}: {_why(asked) or 'its interval includes the limit'}" for asked in named)
    return (
        f"the first bad one is among {', '.join(answer.candidates)}; {answer.last_good} is good: {title}, {allowed}; "
        f"{sure}; undecided after the last run: {whys}"
    )


def _row(asked: Asked) -> list[str]:
    if asked.slowdown is None:
        return [asked.version, "", "", str(asked.runs), f"undecided: {_why(asked)}"]
    low, high = asked.slowdown.low(asked.alpha), asked.slowdown.high(asked.alpha)
    return [
        asked.version,
        percent_words(asked.slowdown.ratio),
        ends(low, high),
        str(asked.runs),
        _WORDS[asked.decision],
    ]


def _why(asked: Asked) -> str:
    """The first line, which says what happened; logs follow it."""
    return asked.why.partition("\n")[0]
