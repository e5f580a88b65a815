"""Progress on standard error: a live line a stage on a terminal, plain or JSON lines elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datagen.run import Run

LIVE_S, PLAIN_S = 0.5, 10.0


def progress(
    style: Literal["auto", "plain", "json", "off"],
) -> Callable[[Run], AbstractAsyncContextManager[None]]:
    """What ``Run.open(watch=...)`` takes: shows the run's progress in ``style`` until it
    is closed."""
    live = style == "auto" and sys.stderr.isatty()

    @asynccontextmanager
    async def watch(run: Run) -> AsyncIterator[None]:
        if style == "off":
            yield
            return
        view = Live(run) if live else Plain(run, as_json=style == "json")
        task = asyncio.create_task(_redraw(view, LIVE_S if live else PLAIN_S))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            view.draw()

    return watch


class Snapshots:
    """Numbers of a run from one moment to the next, and the rates between them."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._begun: dict[str, tuple[float, int]] = {}

    def take(self) -> list[dict[str, Any]]:
        """One dict a stage."""
        return [self._stage(i) for i in range(len(self.run.stages))]

    def _stage(self, index: int) -> dict[str, Any]:
        stage, now = self.run.stages[index], time.monotonic()
        counts = stage.counts()
        since, before = self._begun.setdefault(stage.name, (now, counts.items))
        done, planned = counts.items, len(stage.plan)
        rate = (done - before) / (now - since) if now > since + 0.2 else 0.0
        traffic, budget = self.run.llm.traffic, self.run.budget
        return {
            "stage": stage.name,
            "done": done,
            "planned": planned,
            "rejected": sum(counts.rejected.values()),
            "per_s": round(rate, 2),
            "in_flight": traffic.in_flight,
            "faults": sum(traffic.faults.values()),
            "tokens": budget.prompt_tokens + budget.completion_tokens,
            "cost": budget.cost,
            "left_s": round((planned - done) / rate) if rate and done < planned else None,
        }


class Live:
    """Redraws one line a stage in place."""

    def __init__(self, run: Run) -> None:
        self._snapshots, self._lines = Snapshots(run), 0

    def draw(self) -> None:
        """Draw the stages over the last drawing."""
        lines = [as_line(numbers) for numbers in self._snapshots.take()]
        up = f"\x1b[{self._lines}A" if self._lines else ""
        sys.stderr.write(up + "".join(f"\r\x1b[2K{line}\n" for line in lines))
        sys.stderr.flush()
        self._lines = len(lines)


class Plain:
    """Prints a line for each stage that moved."""

    def __init__(self, run: Run, as_json: bool) -> None:
        self._snapshots, self._json = Snapshots(run), as_json
        self._last: dict[str, int] = {}

    def draw(self) -> None:
        """Print what has changed since the last time."""
        for numbers in self._snapshots.take():
            if self._last.get(numbers["stage"]) != numbers["done"]:
                self._last[numbers["stage"]] = numbers["done"]
                print(
                    json.dumps(numbers) if self._json else as_line(numbers),
                    file=sys.stderr,
                    flush=True,
                )


def as_line(numbers: dict[str, Any]) -> str:
    """One stage's numbers for a person."""
    cost = "" if numbers["cost"] is None or not numbers["cost"] else f"  ${numbers['cost']:.2f}"
    left = "" if numbers["left_s"] is None else f"  {_duration(numbers['left_s'])} left"
    faults = f"  {numbers['faults']} faults survived" if numbers["faults"] else ""
    return (
        f"{numbers['stage']:<16}{numbers['done']:>8,}/{numbers['planned']:<8,}{numbers['per_s']:>8,.1f}/s"
        f"  {numbers['in_flight']} in flight  {numbers['tokens']:,} tokens{cost}"
        f"  {numbers['rejected']} rejected{faults}{left}"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
    )


async def _redraw(view: Live | Plain, every_s: float) -> None:
    while True:
        view.draw()
        await asyncio.sleep(every_s)
