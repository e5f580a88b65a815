"""What benchmarks share: the machine in one line, a measured process, a table, and the verdict."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

SAMPLE_S = 0.05
"""Seconds between two looks at the memory of a process tree."""


def describe() -> str:
    """The machine in one line; figures without it mean nothing."""
    cpu, memory = "unknown CPU", ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        cpu = names[0] if names else platform.machine()
        total = int(Path("/proc/meminfo").read_text().split(None, 2)[1])
        memory = f"{total / 2**20:.0f} GiB RAM, "
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores of {cpu}, {memory}Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}, "
        f"{datetime.date.today()}"
    )


@dataclass(frozen=True)
class Measured:
    """What one process and its children cost, from start to exit."""

    exit: int
    wall_s: float
    cpu_s: float
    rss_mb: float


class Sampler(threading.Thread):
    """Follows the resident memory of a process tree; ``peak`` is the highest sum seen, in bytes."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self.done = pid, 0, threading.Event()

    def run(self) -> None:
        """Look until told that it is done."""
        while not self.done.wait(SAMPLE_S):
            self.peak = max(self.peak, sum(map(resident, tree(self.pid))))


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def resident(pid: int) -> int:
    """Resident bytes of one process; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """A process in a group of its own, its output appended to ``log``."""
    with log.open("ab") as out:
        return subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def measure(command: Sequence[str], log: Path) -> Measured:
    """Run a command to its end and say what it cost."""
    before = time.perf_counter()
    process = start(command, log)
    sampler = Sampler(process.pid)
    sampler.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - before
    process.returncode = os.waitstatus_to_exitcode(status)
    sampler.done.set()
    sampler.join()
    return Measured(process.returncode, wall, usage.ru_utime + usage.ru_stime, sampler.peak / 2**20)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a markdown table; the first row's keys are its head."""
    head = list(rows[0])
    lines = [head, ["---"] * len(head)] + [[cell(row.get(name)) for name in head] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: Any) -> str:
    """A figure with about three digits, thousands grouped."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def conclude(title: str, rows: Sequence[Mapping[str, Any]], marks: Mapping[str, bool]) -> NoReturn:
    """Print the table and the marks; exit 1 if one was missed."""
    print(f"\n## {title}\n\n{table(rows)}\n")
    for mark, met in marks.items():
        print(f"- {'met' if met else 'MISSED'}: {mark}")
    print(f"\nMeasured on {describe()}.")
    sys.exit(0 if all(marks.values()) else 1)
