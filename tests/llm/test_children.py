"""Processes that others start for us: Ctrl-C passes them by, and they do not outlive us."""

import os
import signal
import subprocess
import sys
import time

import pytest

from datagen.llm.children import Warden, own_interrupts

SLEEP = [sys.executable, "-I", "-S", "-c", "import time; print(flush=True); time.sleep(60)"]
PARENT = f"""
import os, subprocess, sys
from datagen.llm.children import Warden
child = subprocess.Popen({SLEEP!r}, stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
warden = Warden([child.pid])
print(child.pid, flush=True)
sys.stdin.readline()
if sys.argv[1] == "killed":
    os.kill(os.getpid(), 9)
warden.dismiss()
os._exit(0)
"""


def gone(pid, within):
    """Whether the process ends within so many seconds (a zombie has ended)."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rsplit(")")[-1].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def child_of_a_parent_that_is(how):
    command = [sys.executable, "-c", PARENT, how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        parent.communicate(b"\n")
    return pid


@pytest.mark.skipif(sys.platform != "linux", reason="pidfd is Linux's")
def test_they_end_with_a_parent_that_was_killed():
    pid = child_of_a_parent_that_is("killed")
    assert gone(pid, within=10)


@pytest.mark.skipif(sys.platform != "linux", reason="pidfd is Linux's")
def test_they_may_go_on_after_the_warden_was_dismissed():
    pid = child_of_a_parent_that_is("dismissing")
    try:
        assert not gone(pid, within=0.5)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_ctrl_c_passes_by_what_was_started_in_the_block_and_ends_the_block():
    before = signal.getsignal(signal.SIGINT)
    child = None
    try:
        with pytest.raises(KeyboardInterrupt), own_interrupts():
            child = subprocess.Popen(SLEEP, stdout=subprocess.PIPE)
            child.stdout.readline()
            child.send_signal(signal.SIGINT)
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.3)
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(100):
                time.sleep(0.05)
    finally:
        child.kill()
        child.communicate()
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_without_the_block_ctrl_c_ends_them():
    """The control of the test above."""
    with subprocess.Popen(SLEEP, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        assert child.wait(5) == -signal.SIGINT


def test_dismissing_twice_is_harmless():
    with subprocess.Popen(SLEEP, stdout=subprocess.PIPE) as child:
        warden = Warden([child.pid])
        warden.dismiss()
        warden.dismiss()
        assert child.poll() is None
        child.kill()
