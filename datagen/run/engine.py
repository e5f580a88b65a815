"""The local executor: one asyncio loop streams through a stage's plan, block after block, without a
barrier."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.errors import DatagenError, Drained, Refused
from datagen.llm import Request
from datagen.rows import Rejected, content_hash
from datagen.run.block import Block, Counts
from datagen.run.tools import Tools

if TYPE_CHECKING:
    from datagen.run import Run

StageFunction = Callable[[Any, Tools], Awaitable[Sequence[Any] | Rejected]]
"""``async def stage(item, tools) -> list of items, or Rejected``."""

OPEN_BLOCKS = 64
"""Most blocks open at once: one stalled answer must not let finished rows pile up in memory."""


class Turns:
    """Lets few of those that wait go on at a time.

    Answers come in crowds. Working on each (the next prompt, its key, its bytes) takes far longer
    than keeping it in the journal, so the loop looks for new answers after every few: a kill finds
    hardly any in memory.
    """

    AT_ONCE = 8

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Return when it is the caller's turn."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.append(future)
        if len(self._waiting) == 1:
            loop.call_soon(self._next, loop)
        await future

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(min(self.AT_ONCE, len(self._waiting))):
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
        if self._waiting:
            loop.call_soon(self._next, loop)


class Stage:
    """One stage of a run over its plan.

    Args:
        run: the run it belongs to.
        name: such as ``5_rows``; its files are named after it.
        plan: the items, by position; made from the seed, never from answers that may come in any
            order.
        function: the stage's code.
    """

    def __init__(self, run: Run, name: str, plan: Sequence[Any], function: StageFunction) -> None:
        self.run, self.name, self.plan, self._function = run, name, plan, function
        self.finished = Counts()
        self.open: dict[int, Block] = {}
        self.settled = 0
        """Positions brought to their outcome by this process: the progress rate."""
        self.started, self.ended = time.monotonic(), 0.0
        self._room = asyncio.Event()
        self._turns = Turns()
        self._finishing: list[asyncio.Task[None]] = []

    @property
    def folder(self) -> Path:
        """Where the blocks of this stage live."""
        return self.run.folder / "blocks" / self.name

    def blocks(self) -> Iterator[Block]:
        """The stage's blocks in plan order."""
        size = self.run.config.block
        for number, start in enumerate(range(0, len(self.plan), size)):
            yield Block(self.folder / f"{number:06d}", start, min(start + size, len(self.plan)))

    def counts(self) -> Counts:
        """What has happened so far, unfinished blocks included."""
        total = Counts()
        total.add(self.finished)
        for block in self.open.values():
            total.add(block.counts)
        return total

    async def execute(self) -> None:
        """Bring every position to its outcome; return when all blocks are finished."""
        places = self._places()
        workers = [asyncio.create_task(self._work(places)) for _ in range(self.run.width)]
        try:
            await asyncio.gather(*workers)
            await asyncio.gather(*self._finishing)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, *self._finishing, return_exceptions=True)
            for block in self.open.values():
                block.close()
            self.ended = time.monotonic()
        self.run.raise_if_stopping()

    async def send(self, block: Block, key: str, request: Request) -> dict[str, Any]:
        """Ask the model and keep its answer before anything that depends on it goes on."""
        self.run.raise_if_stopping()
        seed = int(content_hash(self.run.config.seed, key, size=4), 16) & 0x7FFFFFFF
        with self.run.budget.reserve(request):
            try:
                answer = await self.run.llm.answer(dataclasses.replace(request, seed=seed))
            except Refused as error:
                entry: dict[str, Any] = {"refused": str(error)}
            else:
                entry = {
                    "text": answer.text,
                    "finish": answer.finish_reason,
                    "p": answer.prompt_tokens,
                    "c": answer.completion_tokens,
                }
                if answer.token_ids is not None:
                    entry["ids"] = answer.token_ids
                if answer.logprobs is not None:
                    entry["logprobs"] = answer.logprobs
                self.run.budget.spend(answer)
        self.run.keep(block, key, entry)
        block.counts.count_answer(entry)
        await self._turns.wait()
        return entry

    # ---- one worker ----------------------------------------------------------------------------

    def _places(self) -> Iterator[tuple[Block, int]]:
        """Plan positions still to be done, in order; a block is opened when its first position is
        taken."""
        for block in self.blocks():
            if block.finished():
                self.finished.add(block.counts)
                self._count(block)
                continue
            block.open()
            self._count(block)
            self.open[block.start] = block
            for position in range(block.start, block.stop):
                yield block, position

    def _count(self, block: Block) -> None:
        """Count what earlier sessions spent on a block, unless it was counted beforehand."""
        if not self.run.budget.limited:
            self.run.budget.count(block.counts)

    async def _work(self, places: Iterator[tuple[Block, int]]) -> None:
        while not self.run.stopping:
            while len(self.open) >= OPEN_BLOCKS:
                self._room.clear()
                await self._room.wait()
            place = next(places, None)
            if place is None:
                return
            block, position = place
            item = self.plan[position]
            try:
                outcome = await self._function(item, Tools(self, block, position))
            except Refused as error:
                outcome = Rejected(reason="server_refused", detail=str(error))
            except Drained:
                return
            except DatagenError as error:
                self.run.stop(error)
                return
            self.settled += 1
            if block.settle(position, outcome, item):
                # Beside the work: a slow disk must not hold up the requests.
                self._finishing.append(asyncio.create_task(self._finish(block)))

    async def _finish(self, block: Block) -> None:
        try:
            await asyncio.to_thread(block.finish)
        except DatagenError as error:
            self.run.stop(error)
            return
        del self.open[block.start]
        self.finished.add(block.counts)
        self._room.set()
