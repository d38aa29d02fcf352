"""What of a text that somebody else wrote may be shown: one line, of characters that can be seen?

Comes in: any text of a record: a model's name, the body of an error, an option. Goes out: the same without control
characters, without those that turn the direction of writing, and not longer than can be read. Not escaped: that depends
on where it is shown. Imports nothing of ours.
"""

import re
from typing import Final

#: Longer texts end in a mark that says so; the record has them whole.
CHARS_MAX: Final = 400
#: Controls, lone surrogates, and marks that make text read in another order than it is written.
_UNSEEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")


def plain(text: str, chars_max: int = CHARS_MAX) -> str:
    """A text as one line that can be seen.

    >>> plain("one\\ntwo  three"), plain("abcdef", 3)
    ('one two three', 'abc …')
    """
    seen = _UNSEEN.sub("\ufffd", " ".join(text.split()))
    return seen if len(seen) <= chars_max else f"{seen[:chars_max]} …"
