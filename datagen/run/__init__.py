"""The durable run: a folder, its stages, and everything that happened, kept the moment it happened.

    async with Run.open(folder, RunConfig(), llm, identity={"task": "explain"}) as run:
        await run.stage("1_answers", items, answer)

Running again is resuming: finished blocks are skipped, unfinished ones are replayed from their
    journals, and only what was never answered is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from datagen.errors import DatagenError, Interrupted, RunError
from datagen.llm import LLM
from datagen.llm.prices import Price
from datagen.run.block import Block, Counts
from datagen.run.budget import Budget
from datagen.run.config import RunConfig
from datagen.run.engine import Stage, StageFunction
from datagen.run.folder import Ballast, check_identity, join_blocks, lock, read_items, write_items
from datagen.run.metrics import Metrics
from datagen.run.tools import Tools

SYNC_S = 1.0
"""Seconds between grouped journal syncs (what a power cut, not a kill, may lose)."""


class Run:
    """An open run folder. Made by ``Run.open``; only one process may have it open."""

    def __init__(
        self, folder: Path, config: RunConfig, llm: LLM, width: int, budget: Budget
    ) -> None:
        self.folder, self.config, self.llm, self.width = folder, config, llm, width
        self.budget = budget
        self.stages: list[Stage] = []
        self.metrics = Metrics(self)
        self._stopping: DatagenError | None = None
        self._ballast = Ballast(folder)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: Path,
        config: RunConfig,
        llm: LLM,
        *,
        identity: dict[str, Any] | None = None,
        price: Price | None = None,
        concurrency: int | None = None,
        watch: Callable[[Run], contextlib.AbstractAsyncContextManager[Any]] | None = None,
    ) -> AsyncIterator[Run]:
        """Open or make a run folder.

        Args:
            folder: the run's own.
            identity: what the results depend on; a folder made with another identity is refused.
            price: of the model, for cost and ``max_cost``.
            concurrency: requests in flight to aim at; default the backend's limit.
            watch: shows progress while the run is open.

        Raises:
            RunError: the folder is in use, unwritable, or belongs to another configuration.
        """
        with lock(folder):
            check_identity(folder, {**(identity or {}), "seed": config.seed, "block": config.block})
            at_once = concurrency or llm.traffic.limit or 1
            run = cls(
                folder,
                config,
                llm,
                at_once + max(16, at_once // 2),
                Budget(price, config.max_cost, config.max_tokens),
            )
            run.metrics.load()
            async with contextlib.AsyncExitStack() as stack:
                stack.enter_context(_fewer_collections())
                stack.enter_context(run._signals())
                stack.push_async_callback(run._end_session, asyncio.create_task(run._keep_safe()))
                if watch is not None:
                    await stack.enter_async_context(watch(run))
                yield run

    async def stage(self, name: str, plan: Sequence[Any], function: StageFunction) -> Counts:
        """Run a stage over its plan; its output is ``name.jsonl``, its rejects
        ``rejected/name.jsonl``.

        Raises:
            Interrupted, BudgetReached, BackendError, RunError: the run stopped; everything answered
                is kept.
        """
        self.raise_if_stopping()
        stage = Stage(self, name, plan, function)
        self.stages.append(stage)
        if self.budget.limited:
            # All of it before anything more is spent; else each block when it is opened.
            for block in stage.blocks():
                self.budget.count(block.spent())
        await stage.execute()
        await asyncio.to_thread(join_blocks, self.folder, name, stage.blocks())
        self.metrics.write()
        return stage.finished

    async def together(self, *jobs: Coroutine[Any, Any, None]) -> None:
        """Run stages side by side; where one fails, the others finish what is on the wire first."""
        tasks = [asyncio.create_task(job) for job in jobs]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task.done() and isinstance(error := task.exception(), DatagenError):
                    self.stop(error)
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def read(self, name: str) -> Iterator[Any]:
        """The items of a finished stage, in plan order."""
        return read_items(self.folder / f"{name}.jsonl")

    def write(self, name: str, items: Iterable[Any]) -> None:
        """Write a stage file that no model had to answer for, atomically."""
        write_items(self.folder / f"{name}.jsonl", items)

    # ---- stopping ------------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether nothing more may be sent."""
        return self._stopping is not None

    def stop(self, reason: DatagenError) -> None:
        """Send nothing more; let what is on the wire finish and be kept. The first reason
        stands."""
        if self._stopping is None:
            self._stopping = reason
            self.llm.drain()

    def raise_if_stopping(self) -> None:
        """Raise the reason the run is stopping for, if it is."""
        if self._stopping is not None:
            raise self._stopping

    def keep(self, block: Block, key: str, entry: dict[str, Any]) -> None:
        """Put an entry into a block's journal; where the disk is full, the ballast makes room for
        it."""
        assert block.journal is not None
        try:
            block.journal.put(key, entry)
        except RunError as error:
            self.stop(
                RunError(
                    f"{error}: free some space and run the same command again, it goes on "
                    "where it stopped"
                )
            )
            if not self._ballast.drop():
                self.raise_if_stopping()
            block.journal.put(key, entry)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """First Ctrl-C: drain; second: stop at once. What was answered is kept either way."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def interrupt() -> None:
            if self.stopping and task is not None:
                task.cancel()
            self.stop(
                Interrupted("interrupted: run the same command again, it goes on where it stopped")
            )

        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, interrupt)
        except (RuntimeError, ValueError):
            # Not the main thread: whoever started the loop handles signals.
            yield
            return
        try:
            yield
        except asyncio.CancelledError:
            self.raise_if_stopping()
            raise
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    # ---- housekeeping --------------------------------------------------------------------------

    async def _keep_safe(self) -> None:
        """Once a second: sync the journals together and write the metrics."""
        while True:
            await asyncio.sleep(SYNC_S)
            dirty = [
                b.journal
                for s in self.stages
                for b in s.open.values()
                if b.journal is not None and b.journal.dirty
            ]
            for journal in dirty:
                with contextlib.suppress(OSError):
                    # A journal that was closed meanwhile was synced by its block.
                    await asyncio.to_thread(journal.sync)
            self.metrics.write()

    async def _end_session(self, safe: asyncio.Task[None]) -> None:
        safe.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await safe
        self.metrics.write()
        self._ballast.drop()


@contextlib.contextmanager
def _fewer_collections() -> Iterator[None]:
    """Collect garbage more seldom: a run makes few cycles, and each collection walks all that is
    waiting for an answer (measured: a sixth of the time of 2,000 requests at 256 in flight)."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


__all__ = ["Run", "RunConfig", "Stage", "Tools"]
