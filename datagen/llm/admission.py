"""Who may send next: one queue of waiting requests over the gates of all endpoints."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from datagen.errors import Drained
from datagen.llm import Traffic
from datagen.llm.gate import Gate, Ticket

LONGEST_DOWN_S = 10.0


class Lane:
    """One endpoint: its URL, its gate, and whether it is down."""

    def __init__(self, url: str, ceiling: int) -> None:
        self.url = url
        self.gate = Gate(ceiling)
        self.down_until = 0.0
        self._stumbles = 0

    def stumble(self, now: float, unreachable: bool) -> None:
        """An unreachable endpoint is left alone for a while, twice as long each time."""
        if unreachable and now >= self.down_until:
            # The others of the same burst say nothing new.
            self._stumbles += 1
            self.down_until = now + min(LONGEST_DOWN_S, 0.1 * 2.0**self._stumbles)

    def recovered(self) -> None:
        """It answered: it is up."""
        self._stumbles, self.down_until = 0, 0.0

    def opens_at(self, now: float) -> float:
        """When a request may be sent here: ``now`` or earlier is at once."""
        return max(self.gate.opens_at(now), self.down_until)


@dataclass(frozen=True, slots=True)
class Place:
    """The right to send one request to one endpoint."""

    lane: Lane
    ticket: Ticket


class Admission:
    """First come, first served; a request that is tried again goes before the new ones.

    The total in flight over all endpoints never passes ``concurrency``.
    """

    def __init__(self, urls: Sequence[str], concurrency: int, traffic: Traffic) -> None:
        self._lanes = [Lane(url, concurrency) for url in urls]
        self._concurrency = concurrency
        self._traffic = traffic
        self._waiting: deque[asyncio.Future[Place]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._draining = asyncio.Event()

    async def enter(self, again: bool = False) -> Place:
        """Wait for a place; it counts as in flight from here on, so the caller sends at once.

        Raises:
            Drained: the run is stopping.
        """
        if self._draining.is_set():
            raise Drained("not sent: the run is stopping")
        if not self._waiting:
            lane, _ = self._open_lane()
            if lane is not None:
                return self._take(lane)
        future: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if again else self._waiting.append)(future)
        self.wake()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.leave(future.result())
                future.result().lane.gate.failed(future.result().ticket)
            raise

    def leave(self, place: Place) -> None:
        """The request is no longer in flight; the gate has been told how it went."""
        self._traffic.in_flight -= 1
        self.wake()

    def wake(self) -> None:
        """Let in whoever may go now, and set the alarm for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            lane, opens = self._open_lane()
            if lane is None:
                if opens != float("inf"):
                    delay = max(0.001, opens - time.monotonic())
                    self._timer = asyncio.get_running_loop().call_later(delay, self.wake)
                return
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(self._take(lane))

    async def pause(self, seconds: float) -> None:
        """Sleep, unless the run is stopping."""
        try:
            await asyncio.wait_for(self._draining.wait(), seconds)
        except TimeoutError:
            return

    def drain(self) -> None:
        """Refuse all that waits and all that comes."""
        self._draining.set()
        for future in self._waiting:
            if not future.done():
                future.set_exception(Drained("not sent: the run is stopping"))
        self._waiting.clear()

    def _take(self, lane: Lane) -> Place:
        self._traffic.sent += 1
        self._traffic.in_flight += 1
        return Place(lane, lane.gate.sent(time.monotonic()))

    def _open_lane(self) -> tuple[Lane | None, float]:
        """The least loaded endpoint that may be sent to now, or when one may."""
        now = time.monotonic()
        if self._traffic.in_flight >= self._concurrency:
            return None, float("inf")
        if len(self._lanes) == 1:
            opens = self._lanes[0].opens_at(now)
            return (self._lanes[0], opens) if opens <= now else (None, opens)
        ready = [lane for lane in self._lanes if lane.opens_at(now) <= now]
        if not ready:
            return None, min(lane.opens_at(now) for lane in self._lanes)
        return min(ready, key=lambda lane: lane.gate.load), now
