"""Do cancelling signals end a command as Ctrl-C does, and only while they are asked to?"""

import signal
import threading
from collections.abc import Iterator

import pytest

from perfgate.interrupts import like_ctrl_c

#: Nobody else here asks for it; by default it kills, as SIGTERM does.
NUMBER = signal.SIGUSR1


@pytest.fixture(autouse=True)
def by_default() -> Iterator[None]:
    before = signal.signal(NUMBER, signal.SIG_DFL)
    yield
    signal.signal(NUMBER, before)


def test_it_interrupts_while_the_context_is_open_and_kills_again_afterwards() -> None:
    with pytest.raises(KeyboardInterrupt), like_ctrl_c(NUMBER):
        signal.raise_signal(NUMBER)
    assert signal.getsignal(NUMBER) is signal.SIG_DFL


def test_what_is_ignored_or_handled_stays_so() -> None:
    told: list[int] = []
    with like_ctrl_c(NUMBER):
        ours = signal.getsignal(NUMBER)
        with like_ctrl_c(NUMBER):
            assert signal.getsignal(NUMBER) is ours
        assert signal.getsignal(NUMBER) is ours, "the inner one has not taken it, and so does not give it back"
    signal.signal(NUMBER, signal.SIG_IGN)
    with like_ctrl_c(NUMBER):
        signal.raise_signal(NUMBER)
    signal.signal(NUMBER, lambda number, _: told.append(number))
    with like_ctrl_c(NUMBER):
        signal.raise_signal(NUMBER)
    assert told == [NUMBER]


def test_a_thread_that_may_not_ask_for_signals_goes_on_without() -> None:
    seen: list[object] = []

    def inside() -> None:
        with like_ctrl_c(NUMBER):
            seen.append(signal.getsignal(NUMBER))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]
