"""Which signals end a command as Ctrl-C does: in order, with what was measured kept?"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: By which jobs are cancelled, and terminals closed.
CANCELLING: Final = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def like_ctrl_c(*numbers: signal.Signals) -> Iterator[None]:
    """Let signals that would kill us raise KeyboardInterrupt while the context is open.

    Args:
        numbers: of them those that are handled otherwise stay so, and who has one ignored, as nohup does, means it.
            Outside of the main thread, which alone may ask for signals, none is taken.
    """
    taken = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL and _may_ask()]
    for number in taken:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _may_ask() -> bool:
    return threading.current_thread() is threading.main_thread()
