"""``kill -9`` at random moments of a three-turn run; the next start must lose and repeat nothing.

The process is frozen first (SIGSTOP), so that /proc/net/tcp says exactly which answers it had not
read from their sockets yet; then it is killed. Answers that are asked for again were unread, or in
hand (read in the last turn of the event loop, not yet handled), or else lost.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from jobs import Running, last_words, running, skillmix
from machine import conclude, measure, start

TURN_S = 0.25
"""What one turn of a busy event loop may take: answers read in it were not handled yet."""


@dataclass(frozen=True)
class Kill:
    """What one kill cost: answers given before it, and those of them that were asked for again."""

    answered: int
    unread: int
    in_hand: int
    lost: int
    oldest_s: float
    identical: bool


def unread(port: int) -> set[int]:
    """Client ports of the connections to ``port`` that hold bytes which nobody has read."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, remote, queues = fields[1], fields[2], fields[4]
        if int(remote.split(":")[1], 16) == port and int(queues.split(":")[1], 16):
            found.add(int(local.split(":")[1], 16))
    return found


def kill(process: subprocess.Popen[bytes], server: Running, moment: float) -> dict[str, float]:
    """Kill after ``moment`` seconds; the age in seconds of each answer given, -1 where unread."""
    time.sleep(moment)
    os.killpg(process.pid, signal.SIGSTOP)
    frozen = time.monotonic()
    # A signal takes a moment to stop a running process; what it reads in between is read.
    time.sleep(0.02)
    waiting = unread(server.port)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wire = server.stats(ids=True)["wire"]
    return {
        key: -1 if port in waiting else frozen - at
        for key, (at, port) in wire.items()
        if at <= frozen
    }


def once(work: Path, moment: float, n: int, sha: str, latency_ms: float) -> Kill:
    """One run killed after ``moment`` seconds and started again."""
    out = work / "run"
    with running(latency_ms=latency_ms, latency_spread=0.5) as server:
        command = skillmix(server, out, n=n, turns=3)
        ages = kill(start(command, work / "log.txt"), server, moment)
        server.reset()
        process = measure(command, work / "log.txt")
        again = [ages[key] for key in server.stats(ids=True)["received_keys"] if key in ages]
    if process.exit:
        raise RuntimeError(f"second start: exit {process.exit}: {last_words(work / 'log.txt')}")
    lost = sum(age > TURN_S for age in again)
    on_wire = sum(age < 0 for age in again)
    return Kill(
        len(ages),
        on_wire,
        len(again) - on_wire - lost,
        lost,
        max([0.0, *again]),
        digest(out) == sha,
    )


def digest(out: Path) -> str:
    """The dataset's fingerprint."""
    return hashlib.sha256((out / "dataset" / "train.jsonl").read_bytes()).hexdigest()


def reference(work: Path, n: int, latency_ms: float) -> tuple[float, str, int]:
    """The uninterrupted run: seconds, dataset, and how many requests came more than once."""
    with running(latency_ms=latency_ms, latency_spread=0.5) as server:
        command = skillmix(server, work / "run", n=n, turns=3)
        process = measure(command, work / "log.txt")
        stats = server.stats()
    if process.exit:
        raise RuntimeError(f"the run ended with {process.exit}: {last_words(work / 'log.txt')}")
    return process.wall_s, digest(work / "run"), stats["received"] - stats["unique_received"]


def main() -> None:
    """Measure, print, judge."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--moments", type=int, default=50)
    p.add_argument("--n", type=int, default=2000)
    p.add_argument("--latency-ms", type=float, default=50)
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    draw, kills = random.Random(args.seed), []
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / "whole").mkdir()
        seconds, sha, twice = reference(Path(root) / "whole", args.n, args.latency_ms)
        for number in range(args.moments):
            work = Path(root) / str(number)
            work.mkdir()
            kills.append(once(work, draw.uniform(0.0, seconds), args.n, sha, args.latency_ms))
            print(f"{number + 1}/{args.moments} {kills[-1]}", flush=True)
    lost = sum(kill.lost for kill in kills)
    row = {
        "kills": len(kills),
        "uninterrupted s": seconds,
        "answers before the kill": sum(kill.answered for kill in kills),
        "asked again: unread": sum(kill.unread for kill in kills),
        "in hand": sum(kill.in_hand for kill in kills),
        "lost": lost,
        "oldest s": max(kill.oldest_s for kill in kills),
        "identical datasets": sum(kill.identical for kill in kills),
    }
    conclude(
        f"kill -9 at {args.moments} random moments of {args.n} rows, 3 turns",
        [row],
        {
            "train.jsonl byte-identical every time": all(kill.identical for kill in kills),
            f"answers lost (read over {TURN_S:g} s before the kill): {lost}": lost == 0,
            "no two requests of the run are the same, else the count means nothing": twice == 0,
        },
    )


if __name__ == "__main__":
    main()
