"""What a run did, in numbers: ``metrics.json``, kept up to date while it runs and added up over its
sessions."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from datagen.run.block import Counts, write_atomic

if TYPE_CHECKING:
    from datagen.run import Run
    from datagen.run.engine import Stage


class Metrics:
    """The run's numbers; written about once a second, so a killed session's are at most
    that old."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._started = time.monotonic()
        self._seconds, self._sessions = 0.0, 0
        self._faults: Counter[str] = Counter()
        self.about: dict[str, Any] = {}
        """Facts of the generator's own, such as its name and engine."""
        self.filters: list[dict[str, Any]] = []
        self.complete = False

    def load(self) -> None:
        """Go on from what earlier sessions wrote."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            old = json.loads((self._run.folder / "metrics.json").read_text())
            self._seconds, self._sessions = float(old["seconds"]), int(old["sessions"])
            self._faults = Counter(old["faults"])

    def write(self) -> None:
        """Write ``metrics.json``; a full disk is left for the journal to find."""
        with contextlib.suppress(OSError):
            write_atomic(
                self._run.folder / "metrics.json",
                json.dumps(self.as_dict(), indent=1).encode(),
                durable=False,
            )

    def as_dict(self) -> dict[str, Any]:
        """The numbers as they stand."""
        stages = [(stage, stage.counts()) for stage in self._run.stages]
        total = Counts()
        for _, counts in stages:
            total.add(counts)
        return {
            **self.about,
            "model": self._run.llm.model,
            "complete": self.complete,
            "seconds": round(self._seconds + time.monotonic() - self._started, 3),
            "sessions": self._sessions + 1,
            "stages": [self._stage(s, c) for s, c in stages],
            "faults": dict(sorted((self._faults + self._run.llm.traffic.faults).items())),
            "filters": self.filters,
            "prompt_tokens": total.prompt_tokens,
            "completion_tokens": total.completion_tokens,
            "cost": self._cost(total),
            "notices": self._run.llm.traffic.notices,
        }

    def _stage(self, stage: Stage, counts: Counts) -> dict[str, Any]:
        return {
            "name": stage.name,
            "planned": len(stage.plan),
            "kept": counts.kept,
            "rejected": dict(sorted(counts.rejected.items())),
            "requests": counts.requests,
            "prompt_tokens": counts.prompt_tokens,
            "completion_tokens": counts.completion_tokens,
            "cost": self._cost(counts),
        }

    def _cost(self, counts: Counts) -> float | None:
        price = self._run.budget.price
        return round(price.of(counts.prompt_tokens, counts.completion_tokens), 6) if price else None
