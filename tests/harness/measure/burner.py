"""A program that burns CPU when told to, itself or in threads and children, and says how much it burned.

It obeys one line of standard input at a time and answers each with one number: CPU seconds by the burning thread's own
clock; for a child that has ended, what wait4 says of its whole life, its own children
included. It ends with its standard input.
"""

import os
import signal
import subprocess
import sys
import threading
import time


class Burner:
    """One method a command; `rest` is what follows the command's name."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def burn(self, rest: str) -> float:
        start_s = time.thread_time()
        while time.thread_time() - start_s < float(rest):
            pass
        return time.thread_time() - start_s

    def thread(self, rest: str) -> float:
        """Burn in a thread that starts and ends now."""
        self.start_thread(rest)
        self.go.set()
        self.thread_.join()
        return sum(self.burned)

    def start_thread(self, rest: str) -> float:
        """Burn half now, in a thread that stays until `end_thread` and then burns the other half."""
        self.burned: list[float] = []
        self.go, half = threading.Event(), threading.Event()

        def run() -> None:
            self.burned.append(self.burn(str(float(rest) / 2)))
            half.set()
            self.go.wait()
            self.burned.append(self.burn(str(float(rest) / 2)))

        self.thread_ = threading.Thread(target=run)
        self.thread_.start()
        half.wait()
        return self.burned[0]

    def end_thread(self, rest: str) -> float:
        self.go.set()
        self.thread_.join()
        return self.burned[1]

    def used(self, rest: str) -> float:
        return time.process_time()

    def grow(self, rest: str) -> float:
        """Keep that many more bytes in memory."""
        self.kept.append(b"x" * int(rest))
        return float(rest)

    def spawn(self, rest: str) -> float:
        """Start a child that is a burner too; answers its PID."""
        self.child_ = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self.child_.pid

    def child(self, rest: str) -> float:
        """Have the child obey `rest`."""
        assert self.child_.stdin is not None
        assert self.child_.stdout is not None
        self.child_.stdin.write(rest + "\n")
        self.child_.stdin.flush()
        return float(self.child_.stdout.readline())

    def end_child(self, rest: str) -> float:
        """End the child and wait for it, as a good parent does."""
        self._close()
        _, _, usage = os.wait4(self.child_.pid, 0)
        self.child_.returncode = 0
        return usage.ru_utime + usage.ru_stime

    def leave_zombie(self, rest: str) -> float:
        """End the child, and don't wait for it."""
        self._close()
        os.waitid(os.P_PID, self.child_.pid, os.WEXITED | os.WNOWAIT)
        return 0.0

    def end_child_unseen(self, rest: str) -> float:
        """End the child while SIGCHLD is ignored: the kernel then drops what it used."""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        self._close()
        try:
            os.waitpid(self.child_.pid, 0)
        except ChildProcessError:  # as it must: there is nothing to wait for
            self.child_.returncode = 0
        return 0.0

    def _close(self) -> None:
        assert self.child_.stdin is not None
        self.child_.stdin.close()


if __name__ == "__main__":
    burner = Burner()
    for line in sys.stdin:
        command, _, rest_of_line = line.strip().partition(" ")
        print(getattr(burner, command)(rest_of_line), flush=True)
