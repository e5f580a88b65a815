"""Which walls against foreign code this machine has: each is put up and then run against.

Run as a program (``python -I -S isolation.py``) it prints one JSON object, layer -> words, the
empty string for a layer that does not hold. Every layer is tried in a process of its own, because
none of them can be taken down again. Standard library only; Linux (elsewhere nothing holds).

landlock(7), seccomp(2), user_namespaces(7); numbers from the kernel's uapi headers.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import struct
import sys
from collections.abc import Callable

CLONE_ALL = 0x00020000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
"""New mount, IPC, user, pid and network namespaces."""
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF = 444, 446
LANDLOCK_ACCESS_FS_READ_FILE = 1 << 2
PERSONALITY = {"x86_64": 135, "aarch64": 92}
"""System call that the trial filter forbids: harmless, and nothing else here makes it."""


def user_namespaces() -> str:
    """All namespaces at once, and root inside them."""
    uid = os.getuid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_ALL) != 0:
        return ""
    with open("/proc/self/setgroups", "w") as file:
        file.write("deny")
    with open("/proc/self/uid_map", "w") as file:
        file.write(f"0 {uid} 1")
    return "user, pid, mount, network, ipc" if os.getuid() == 0 else ""


def landlock() -> str:
    """A rule set that allows reading nothing; then a file is read."""
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, 1)
    handled = ctypes.create_string_buffer(struct.pack("Q", LANDLOCK_ACCESS_FS_READ_FILE))
    ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, handled, 8, 0)
    if ruleset < 0 or libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return ""
    if libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0) != 0:
        return ""
    try:
        with open("/proc/self/status"):
            return ""
    except PermissionError:
        return f"ABI {abi}"


def seccomp() -> str:
    """A filter that forbids one system call; then that call is made."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = PERSONALITY[platform.machine()]
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (0x20, 0, 0, 0),  # load the call's number
            (0x15, 0, 1, number),  # is it the one?
            (0x06, 0, 0, 0x00050000 | errno.EPERM),  # then it fails
            (0x06, 0, 0, 0x7FFF0000),  # else it passes
        )
    )
    code = ctypes.create_string_buffer(program)
    header = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    )
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return ""
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) != 0:
        return ""
    forbidden = libc.syscall(number, 0xFFFFFFFF)
    return "filters" if forbidden == -1 and ctypes.get_errno() == errno.EPERM else ""


def cgroup() -> str:
    """A group of our own below this process's, with limits on it."""
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split(" - ") for line in file]
    root = next(left.split()[4] for left, right in mounts if right.startswith("cgroup2 "))
    with open("/proc/self/cgroup") as file:
        own = next(line for line in file if line.startswith("0::"))[3:].strip()
    group = f"{root}{own.rstrip('/')}/datagen-{os.getpid()}"
    os.mkdir(group)
    try:
        for name, limit in (("memory.max", b"268435456"), ("pids.max", b"64")):
            file_number = os.open(f"{group}/{name}", os.O_WRONLY)
            os.write(file_number, limit)
            os.close(file_number)
    finally:
        os.rmdir(group)
    return "memory and pids limits"


LAYERS: dict[str, Callable[[], str]] = {
    "user namespaces": user_namespaces,
    "landlock": landlock,
    "seccomp": seccomp,
    "cgroup v2": cgroup,
}


def tried(layer: Callable[[], str]) -> str:
    """What the layer says in a child process; empty where it fails in any way."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        words = ""
        try:
            words = layer()
        except BaseException:  # a wall that cannot be put up, for whatever reason
            words = ""
        finally:
            os.write(writing, words.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        words = pipe.read()
    os.waitpid(child, 0)
    return words


def main() -> None:
    found = {
        name: tried(layer) if sys.platform == "linux" else "" for name, layer in LAYERS.items()
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
