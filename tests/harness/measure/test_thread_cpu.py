"""Is the CPU of each thread known?"""

import os
import threading
import time

import pytest

from perfgate.measure.thread_cpu import thread_cpu_s

pytestmark = pytest.mark.slow


def test_a_thread_that_burns_has_what_it_burned_and_others_have_not() -> None:
    before, burned, may_end = thread_cpu_s(os.getpid()), threading.Event(), threading.Event()
    ids: list[int] = []

    def burn() -> None:
        ids.append(threading.get_native_id())
        while time.thread_time() < 0.3:
            pass
        burned.set()
        may_end.wait()

    thread = threading.Thread(target=burn)
    thread.start()
    burned.wait()
    after = thread_cpu_s(os.getpid())
    may_end.set()
    thread.join()
    assert ids[0] not in before
    assert after[ids[0]] == pytest.approx(0.3, rel=0.2)
    assert after[os.getpid()] - before[os.getpid()] < 0.3
    # The kernel takes a thread's entry away a moment after join() has returned.
    while ids[0] in thread_cpu_s(os.getpid()):
        time.sleep(0.01)


def test_a_process_that_is_not_there_has_no_threads() -> None:
    assert thread_cpu_s(2**22 + 1) == {}
