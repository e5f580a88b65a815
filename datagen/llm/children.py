"""Processes that a library starts on its own: kept out of Ctrl-C, and ended when this process is.

vLLM's engine and workers are such. Seen with 0.32 on Linux: a terminal's Ctrl-C ends them while
answers are still awaited, and after ``kill -9`` of their parent they live on and keep the GPU.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from multiprocessing import resource_tracker

_WARDEN = """
import os, signal, sys
doors = [os.pidfd_open(int(pid)) for pid in sys.stdin.readline().split()]
print(flush=True)
if not sys.stdin.read():
    for door in doors:
        try:
            signal.pidfd_send_signal(door, signal.SIGKILL)
        except ProcessLookupError:
            pass
"""


@contextlib.contextmanager
def own_interrupts() -> Iterator[None]:
    """Processes started in this block never see SIGINT; here it raises KeyboardInterrupt.

    What a child inherits is the signal mask of the thread that starts it. The signal itself is
    taken by another thread, without that mask, so that the block can still be interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # It lifts the mask when it starts its process: let that be done before.
    resource_tracker.ensure_running()
    done = threading.Event()
    threading.Thread(target=done.wait, daemon=True).start()
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, handler)
        done.set()


class Warden:
    """A small process that ends ``pids`` when this process dies, however it dies (Linux)."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WARDEN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write((" ".join(map(str, pids)) + "\n").encode())
        self._process.stdin.flush()
        self._process.stdout.readline()

    def dismiss(self) -> None:
        """They have ended, or may go on; idempotent."""
        if self._process.returncode is None:
            with contextlib.suppress(BrokenPipeError):
                self._process.communicate(b"dismissed")
