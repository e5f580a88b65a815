"""Progress on standard error: a live line a stage on a terminal, plain or JSON lines elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

from datagen.run.terminal import plain

if TYPE_CHECKING:
    from datagen.run import Run
    from datagen.run.engine import Stage

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


def numbers_of(run: Run) -> list[dict[str, Any]]:
    """A run's numbers at this moment, one dict a stage."""
    return [_stage(run, stage) for stage in run.stages]


def _stage(run: Run, stage: Stage) -> dict[str, Any]:
    counts, traffic, budget = stage.counts(), run.llm.traffic, run.budget
    done, planned = counts.items, len(stage.plan)
    seconds = (stage.ended or time.monotonic()) - stage.started
    rate = stage.settled / seconds if seconds > 0 else 0.0
    return {
        "stage": stage.name,
        "done": done,
        "planned": planned,
        "rejected": sum(counts.rejected.values()),
        "per_s": round(rate, 2),
        "in_flight": 0 if stage.ended else traffic.in_flight,
        "faults": sum(traffic.faults.values()),
        "tokens": budget.prompt_tokens + budget.completion_tokens,
        "cost": budget.cost,
        "left_s": round((planned - done) / rate) if rate and done < planned else None,
    }


class Live:
    """Redraws one line a stage in place."""

    def __init__(self, run: Run) -> None:
        self._run, self._lines, self._told = run, 0, 0

    def draw(self) -> None:
        """Draw the stages over the last drawing; notices stay above it."""
        width = shutil.get_terminal_size().columns - 1
        lines = [as_line(numbers)[:width] for numbers in numbers_of(self._run)]
        notices = self._run.llm.traffic.notices[self._told :]
        self._told += len(notices)
        up = f"\x1b[{self._lines}A" if self._lines else ""
        shown = [*(f"note: {plain(notice)}" for notice in notices), *lines]
        sys.stderr.write(up + "".join(f"\r\x1b[2K{line}\n" for line in shown))
        sys.stderr.flush()
        self._lines = len(lines)


class Plain:
    """Prints a line for each stage that moved, and each notice."""

    def __init__(self, run: Run, as_json: bool) -> None:
        self._run, self._json, self._told = run, as_json, 0
        self._last: dict[str, int] = {}

    def draw(self) -> None:
        """Print what has changed since the last time."""
        notices = self._run.llm.traffic.notices[self._told :]
        self._told += len(notices)
        for notice in notices:
            self._print({"note": notice} if self._json else f"note: {plain(notice)}")
        for numbers in numbers_of(self._run):
            if self._last.get(numbers["stage"]) != numbers["done"]:
                self._last[numbers["stage"]] = numbers["done"]
                self._print(numbers if self._json else as_line(numbers))

    def _print(self, line: dict[str, Any] | str) -> None:
        text = line if isinstance(line, str) else json.dumps(line)
        print(text, file=sys.stderr, flush=True)


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
