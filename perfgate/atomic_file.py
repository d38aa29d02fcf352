"""How is a file replaced so that nobody ever sees half of it?

Comes in: a path and its content. Goes out: the file, or an OSError and the file as it was. Imports nothing of ours.
"""

import contextlib
import os
from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write the whole file or none of it, and have it on the disk when this returns.

    Args:
        path: the file; its folder exists. `.NAME.partial` beside it is ours while we write.
        content: all that it is to hold; a text in UTF-8.

    Raises:
        OSError: the file system refused; the file is as it was, and nothing is left beside it.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
