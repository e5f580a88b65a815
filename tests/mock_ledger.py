"""What the mock server counts, and the numbers drawn from it."""

from __future__ import annotations

import hashlib
import resource
import time
from array import array
from collections import Counter
from typing import Any


def uniform(*parts: object) -> float:
    """A number in (0, 1) that depends on ``parts`` alone."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=7).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**56


class Ledger:
    """Everything counted since the last reset; an answer is delivered when written whole."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.received_ids: Counter[int] = Counter()
        self.delivered_ids: Counter[int] = Counter()
        self.rejected: Counter[str] = Counter()
        # key -> time of its last answer and the client's port: was it read before a kill?
        self.wire: dict[str, tuple[float, int]] = {}
        self.bad: set[str] = set()
        self.in_flight = self.max_in_flight = self.aborted = self.connections = 0
        self.first = self.last = self.changed = 0.0
        self.times, self.levels = array("d"), array("I")  # in flight after each arrival
        self.starts, self.ends = array("I"), array("I")  # arrivals before and after each life
        self.seconds_at: Counter[int] = Counter()  # level -> seconds spent there

    def arrive(self, now: float, key: str, ids: list[int]) -> int:
        """A request came in; how often it did so far."""
        self.first = self.first or now
        self.received[key] += 1
        self.received_ids.update(ids)
        return self.received[key]

    def level(self, now: float, step: int) -> None:
        """One request more or less in flight."""
        self.seconds_at[self.in_flight] += now - (self.changed or now)
        self.changed = now
        self.in_flight += step
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def start(self, now: float) -> int:
        """A request begins to be served; its number among those served."""
        self.level(now, 1)
        self.times.append(now)
        self.levels.append(self.in_flight)
        return len(self.levels) - 1

    def deliver(self, now: float, key: str, number: int, ids: list[int], port: int) -> None:
        """A request was answered as it should be."""
        self.last = now
        self.delivered[key] += 1
        self.delivered_ids.update(ids)
        self.wire[key] = (now, port)
        self.starts.append(number)
        self.ends.append(len(self.levels))

    def at_limit(self, limit: int) -> dict[str, float]:
        """How full the server was kept: shares of the answered requests in whose life the limit was
        met, of the arrivals that met it, and of the busy time spent at it; mean level of that time.
        """
        full = [0]
        for level in self.levels:
            full.append(full[-1] + (level >= limit))
        lives = zip(self.starts, self.ends, strict=True)
        met = sum(full[end] > full[start] for start, end in lives)
        busy = {level: s for level, s in self.seconds_at.items() if level}
        seconds = sum(busy.values()) or 1.0
        return {
            "at_limit_share": met / max(1, len(self.starts)),
            "arrived_at_limit_share": full[-1] / max(1, len(self.levels)),
            "time_at_limit_share": sum(s for n, s in busy.items() if n >= limit) / seconds,
            "mean_in_flight": sum(n * s for n, s in busy.items()) / seconds,
        }

    def stats(self, ids: bool = False, limit: int = 0, series: bool = False) -> dict[str, Any]:
        """The counters as JSON; times are seconds of the machine's monotonic clock."""
        use = resource.getrusage(resource.RUSAGE_SELF)
        out: dict[str, Any] = {
            "received": self.received.total(),
            "unique_received": len(self.received),
            "delivered": self.delivered.total(),
            "unique_delivered": len(self.delivered),
            "rejected": dict(self.rejected),
            "unique_bad": len(self.bad),
            "aborted": self.aborted,
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "connections": self.connections,
            "first": self.first,
            "last": self.last,
            "window_s": self.last - self.first,
            "now": time.monotonic(),
            "server_cpu_s": use.ru_utime + use.ru_stime,
        }
        if limit:
            out |= self.at_limit(limit)
        if ids:
            out |= {
                "received_keys": self.received,
                "delivered_keys": self.delivered,
                "received_ids": self.received_ids,
                "delivered_ids": self.delivered_ids,
                "wire": self.wire,
            }
        if series:
            out["series"] = list(zip(self.times, self.levels, strict=True))
        return out
