"""Memory of 1,000,000 rows beside 10,000, against a model in the same process that answers at once.

Twice: a stage of the Python API whose plan is made position by position, and all of ``datagen
skillmix``, dataset files included.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

from jobs import last_words, skillmix
from machine import conclude, measure

from datagen.llm import Answer, Request, Traffic
from datagen.run import Run, RunConfig, Tools

TEXT = "The model answers with about a hundred words of plain text. " * 10


class Canned:
    """A model that gives every request the same answer, after letting the others have a turn."""

    def __init__(self, concurrency: int) -> None:
        self.model, self.traffic = "canned", Traffic(limit=concurrency)

    async def answer(self, request: Request) -> Answer:
        """The text."""
        await asyncio.sleep(0)
        return Answer(TEXT, "stop", 20, 100)

    def drain(self) -> None:
        """Nothing waits."""

    async def close(self) -> None:
        """Nothing to close."""


class Plan(Sequence[dict[str, Any]]):
    """``n`` items that are made when they are asked for."""

    def __init__(self, n: int) -> None:
        self._n = n

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(self._n))]
        if place >= self._n:
            raise IndexError(place)
        return {"id": place, "prompt": f"Say something about number {place}."}


async def make(folder: Path, n: int) -> None:
    """``n`` rows of one stage."""

    async def answer(item: dict[str, Any], tools: Tools) -> list[dict[str, Any]]:
        reply = await tools.ask([{"role": "user", "content": item["prompt"]}], temperature=0.7)
        return [{**item, "response": reply.text}]

    async with Run.open(folder, RunConfig(), Canned(256)) as run:
        counts = await run.stage("1_answers", Plan(n), answer)
    if counts.kept != n:
        raise RuntimeError(f"{counts.kept} rows of {n}")


def command(job: str, n: int, run: Path) -> list[str]:
    """What is measured: this file as a child, or the whole of ``datagen skillmix``."""
    if job == "one stage":
        return [sys.executable, __file__, "--child", str(n), "--work", str(run)]
    return skillmix(None, run, n=n, turns=1)


def figures(job: str, n: int, folder: Path | None) -> dict[str, Any]:
    """One run in figures."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        process = measure(command(job, n, Path(work) / "run"), Path(work) / "log.txt")
        if process.exit:
            raise RuntimeError(f"{job}, {n} rows: {last_words(Path(work) / 'log.txt')}")
    return {
        "job": job,
        "rows": n,
        "peak RSS MB": process.rss_mb,
        "wall s": process.wall_s,
        "rows/s": n / process.wall_s,
        "CPU ms/row": 1000 * process.cpu_s / n,
    }


def main() -> None:
    """Measure, print, judge; with --child be the process that is measured."""
    p = argparse.ArgumentParser(description=__doc__)
    # Up to 10,000 rows skillmix counts near-duplicates unasked, which takes memory of its own.
    p.add_argument("--small", type=int, default=10_001)
    p.add_argument("--large", type=int, default=1_000_000)
    p.add_argument("--work", type=Path, help="where the run folders go (several GB)")
    p.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.child:
        return asyncio.run(make(args.work, args.child))
    rows, met = [], {}
    for job in ("one stage", "skillmix --turns 1"):
        small, large = (figures(job, n, args.work) for n in (args.small, args.large))
        rows += [small, large]
        grown = large["peak RSS MB"] - small["peak RSS MB"]
        met[f"{job}: peak RSS grows by at most 100 MB: {grown:.0f}"] = grown <= 100
    conclude("Memory against a canned in-process model", rows, met)


if __name__ == "__main__":
    main()
