"""Is a stream understood the same however the network cuts it, and is it known what is wrong with one?"""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfgate.load.event_stream import EventStream
from perfgate.load.result import Failure

#: One of everything: a comment, a chunk without content, chunks with content, data of two lines, other fields, [DONE].
STREAM = (
    b": ping\n\n"
    b'data: {"delta": {"role": "assistant", "content": ""}}\n\n'
    b'data: {"delta": {"content": "Hi"}}\n\n'
    b":\n\n"
    b'event: message\nid: 7\ndata:{"delta":{"content":"[DONE]"}}\n\n'
    b'data: {"delta":\ndata: {"content": "\\"quoted\\""}}\n\n'
    b'\ndata: {"usage": {"total_tokens": 3}}\n\n'
    b"data: [DONE]\n\n"
)
LINE_ENDS = [pytest.param(STREAM, id="lf"), pytest.param(STREAM.replace(b"\n", b"\r\n"), id="crlf")]


def fed(pieces: Iterable[bytes]) -> EventStream:
    """A stream whose first piece arrived at 1 ms, the second at 2 ms and so on."""
    stream = EventStream()
    for number, piece in enumerate(pieces, start=1):
        stream.feed(piece, number * 1_000_000)
    return stream


def seen(stream: EventStream) -> tuple[int, bool, int, list[int]]:
    return stream.chunks, stream.done, stream.first_token_mono_ns, stream.gaps_us.tolist()


def literally(pieces: list[bytes]) -> tuple[int, bool, int, list[int]]:
    """What `seen` should be: line by line, as the text of the standard has it, every byte with its instant."""
    instants_ns = [number * 1_000_000 for number, piece in enumerate(pieces, start=1) for _ in piece]
    chunks, done, content_at_ns, data = 0, False, [], b""
    at = 0
    for line in b"".join(pieces).splitlines(keepends=True):
        at += len(line)
        text = line.rstrip(b"\r\n")
        if text.startswith(b"data:"):
            data += text.removeprefix(b"data:").removeprefix(b" ")
        elif text == b"" and data == b"[DONE]":
            done, data = True, b""
        elif text == b"" and data:
            chunks += 1
            if b'"content"' in data and b'"content": ""' not in data:
                content_at_ns.append(instants_ns[at - 1])
            data = b""
    gaps_us = [(later - earlier) // 1000 for earlier, later in pairwise(content_at_ns)]
    return chunks, done, content_at_ns[0] if content_at_ns else 0, gaps_us


def test_the_literal_reading_of_the_example_is_the_intended_one() -> None:
    assert literally([STREAM]) == (5, True, 1_000_000, [0, 0])


@pytest.mark.parametrize("text", LINE_ENDS)
def test_a_stream_may_be_split_anywhere(text: bytes) -> None:
    for at in range(len(text) + 1):
        pieces = [text[:at], text[at:]]
        assert seen(fed(pieces)) == literally(pieces), at


@pytest.mark.parametrize("text", LINE_ENDS)
def test_a_stream_may_come_byte_by_byte(text: bytes) -> None:
    pieces = [text[i : i + 1] for i in range(len(text))]
    stream = fed(pieces)
    assert seen(stream) == literally(pieces)
    assert len(stream.gaps_us) == 2
    assert min(stream.gaps_us) > 0


@given(st.lists(st.integers(0, len(STREAM)), max_size=12), st.booleans())
def test_every_event_has_the_instant_of_the_piece_that_completes_it(cuts: list[int], crlf: bool) -> None:
    text = STREAM.replace(b"\n", b"\r\n") if crlf else STREAM
    ends = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(ends)]
    assert seen(fed(pieces)) == literally(pieces)


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        (b"", "0 chunks"),
        (b": nothing but\n\n: comments\n\n", "0 chunks"),
        (b"event: start\n\n", "0 chunks"),
        (b"data: {}\n\n", "1 chunk"),
        (b"data: {}\n\ndata: {}\n", "1 chunk"),  # the second event has no end
        (b"data: {}\n\ndata: [DONE]", "1 chunk"),
        (b"data: {}\n\ndata: {}\n\n", "2 chunks"),
        (b'{"object": "chat.completion"}', "0 chunks"),
    ],
)
def test_a_stream_without_done_is_cut_short_and_says_how_many_chunks_had_come(text: bytes, chunks: str) -> None:
    assert fed([text]).fault("the lights went out") == (
        Failure.STREAM_CUT_SHORT,
        f"the lights went out; {chunks} had come, but no [DONE]",
    )


def test_a_stream_with_done_is_whole() -> None:
    assert fed([STREAM]).fault("the lights went out") is None


@pytest.mark.parametrize("after", [b"", b"data: [DONE]\n\n"])
@pytest.mark.parametrize("space", [b"", b" "])
def test_an_error_within_a_stream_is_its_fault_whether_or_not_done_comes(space: bytes, after: bytes) -> None:
    error = b'{"error":' + space + b'{"message": "boom"}}'
    stream = fed([b'data: {"content": "a"}\n\ndata: ' + error + b'\n\ndata: {"error": "later"}\n\n' + after])
    assert stream.fault("the lights went out") == (Failure.STREAM_ERROR, error.decode())
    assert stream.chunks == 3


def test_of_a_long_error_the_beginning_is_shown() -> None:
    fault = fed([b'data: {"error": "' + b"x" * 5_000 + b'"}\n\n']).fault("")
    assert fault is not None
    assert fault[1] == '{"error": "' + "x" * 189


@pytest.mark.parametrize("data", [b'{"error": null}', b'{"error":null, "id": 1}', b'{"id": 1, "error": {"a": 1}}'])
def test_what_only_looks_like_an_error_is_none(data: bytes) -> None:
    assert fed([b"data: " + data + b"\n\ndata: [DONE]\n\n"]).fault("") is None


@pytest.mark.parametrize(
    ("data", "has_content"),
    [
        (b'{"content": "x"}', True),
        (b'{"content":"\\n"}', True),
        (b'{"content":"\\""}', True),
        (b'{"content": ""}', False),
        (b'{"content": null}', False),
        (b'{"reasoning_content": "x"}', False),
    ],
)
def test_a_first_token_is_a_content_that_is_not_empty(data: bytes, has_content: bool) -> None:
    assert bool(fed([b"data: " + data + b"\n\n"]).first_token_mono_ns) == has_content
