"""What does a streamed reply say, and when: its chunks, its [DONE], an error within it?

Comes in: pieces of a body, cut anywhere, and when each arrived. Goes out: counts and instants, and what is wrong with
the stream once it has ended. Knows nothing of HTTP.

Server-sent events: an event ends with a blank line, lines end with LF or CRLF, a line that begins with a colon is a
comment. A chunk is an event with data that is not [DONE].
"""

import re
from array import array
from typing import Final

from perfgate.load.result import Failure

_DONE: Final = b"[DONE]"
_HAS_CONTENT: Final = re.compile(rb'"content":\s*"[^"]')
_IS_ERROR: Final = re.compile(rb'\{\s*"error":\s*[^\sn]')  # "error": null is none
_ERROR_BYTES_SHOWN: Final = 200


class EventStream:
    """One stream, while it comes in.

    >>> stream = EventStream()
    >>> stream.feed(b'data: {"delta": {"content": "Hi"}}\\n\\ndata: [DO', at_mono_ns=5)
    >>> stream.feed(b'NE]\\n\\n', at_mono_ns=9)
    >>> stream.chunks, stream.done, stream.first_token_mono_ns
    (1, True, 5)
    """

    __slots__ = ("_error", "_last_content_mono_ns", "_rest", "chunks", "done", "first_token_mono_ns", "gaps_us")

    def __init__(self) -> None:
        self.chunks = 0
        self.done = False
        #: When the first chunk with content came; 0 is not yet.
        self.first_token_mono_ns = 0
        #: From each chunk with content to the next.
        self.gaps_us = array("I")
        self._last_content_mono_ns = 0
        self._error: bytes | None = None
        self._rest = b""

    def feed(self, piece: bytes, at_mono_ns: int) -> None:
        """Take the next piece of the body, which arrived at that instant."""
        text = self._rest + piece
        if b"\r" in text:  # a last CR stays, and meets its LF in the next piece
            text = text.replace(b"\r\n", b"\n")
        *events, self._rest = text.split(b"\n\n")
        for event in events:
            lines = [line[5:] for line in event.split(b"\n") if line.startswith(b"data:")]
            if lines:
                self._take(b"\n".join(lines).strip(), at_mono_ns)

    def fault(self, how_it_ended: str) -> tuple[Failure, str] | None:
        """What is wrong with the stream now that it has ended, or None.

        Args:
            how_it_ended: in words, for the text of the failure.
        """
        if self._error is not None:
            return Failure.STREAM_ERROR, self._error[:_ERROR_BYTES_SHOWN].decode(errors="replace")
        if not self.done:
            chunks = "1 chunk" if self.chunks == 1 else f"{self.chunks} chunks"
            return Failure.STREAM_CUT_SHORT, f"{how_it_ended}; {chunks} had come, but no [DONE]"
        return None

    def _take(self, data: bytes, at_mono_ns: int) -> None:
        if data == _DONE:
            self.done = True
            return
        self.chunks += 1
        if _HAS_CONTENT.search(data):
            if self.first_token_mono_ns:
                self.gaps_us.append((at_mono_ns - self._last_content_mono_ns) // 1000)
            else:
                self.first_token_mono_ns = at_mono_ns
            self._last_content_mono_ns = at_mono_ns
        elif self._error is None and _IS_ERROR.match(data):
            self._error = data
