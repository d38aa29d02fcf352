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
    """Let signals interrupt us while the context is open; `numbers` as of `interrupt_by`."""
    taken = interrupt_by(*numbers)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def interrupt_by(*numbers: signal.Signals) -> tuple[signal.Signals, ...]:
    """Let signals that would kill us raise KeyboardInterrupt from now on.

    Args:
        numbers: of them those that are handled otherwise stay so, and who has one ignored, as nohup does, means it.
            Outside of the main thread, which alone may ask for signals, none is taken.

    Returns:
        Those that were taken.
    """
    if threading.current_thread() is not threading.main_thread():
        return ()
    taken = tuple(number for number in numbers if signal.getsignal(number) is signal.SIG_DFL)
    for number in taken:
        signal.signal(number, signal.default_int_handler)
    return taken
