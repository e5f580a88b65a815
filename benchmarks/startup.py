"""How long a user waits for the least there is: ``datagen --help`` and one scripted row."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from jobs import DATAGEN, last_words, skillmix
from machine import conclude, measure


def seconds(command: list[str], log: Path) -> float:
    """The wall time of a command that must succeed."""
    process = measure(command, log)
    if process.exit:
        raise RuntimeError(f"{' '.join(command)}: exit {process.exit}: {last_words(log)}")
    return process.wall_s


def main() -> None:
    """Measure, print, judge."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--repetitions", type=int, default=10)
    args = p.parse_args()
    marks = {"datagen --help": 0.5, "a 1-row scripted run": 1.5}
    rows, met = [], {}
    with tempfile.TemporaryDirectory() as root:
        work = Path(root)
        for name, mark in marks.items():
            times = []
            for number in range(args.repetitions):
                run = skillmix(None, work / str(number), n=1, turns=1)
                times.append(seconds([DATAGEN, "--help"] if mark < 1 else run, work / "log.txt"))
            took = statistics.median(times)
            rows.append({"command": name, "median s": took, "slowest s": max(times)})
            met[f"{name} under {mark:g} s: {took:.2f}"] = took < mark
    conclude(f"Start-up, medians of {args.repetitions}", rows, met)


if __name__ == "__main__":
    main()
