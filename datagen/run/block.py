"""A block: consecutive plan positions with a journal and an output of their own.

It is the unit of recovery and of distribution: whoever opens a block's folder can finish it,
    because every effect that already happened is answered by the block's journal.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from datagen.errors import RunError
from datagen.rows import Rejected, compact
from datagen.run.journal import Journal


@dataclass(slots=True)
class Counts:
    """What happened at a set of plan positions: outcomes, and the model calls paid for."""

    items: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, other: Counts) -> None:
        """Add another set's counts to these."""
        self.items += other.items
        self.kept += other.kept
        self.rejected.update(other.rejected)
        self.requests += other.requests
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens

    def count_answer(self, entry: dict[str, Any]) -> None:
        """Count one journal entry that holds a model's answer."""
        if "p" in entry:
            self.requests += 1
            self.prompt_tokens += entry["p"]
            self.completion_tokens += entry["c"]


class Block:
    """Positions ``start`` to ``stop - 1`` of one stage.

    Args:
        folder: the block's own; made by ``open``.
        start, stop: plan positions.
    """

    def __init__(self, folder: Path, start: int, stop: int) -> None:
        self.folder, self.start, self.stop = folder, start, stop
        self.counts = Counts()
        self.journal: Journal | None = None
        self._left = stop - start
        self._rows: dict[int, bytes] = {}
        self._rejected: dict[int, bytes] = {}

    @property
    def rows(self) -> Path:
        """The block's output, one JSON line an item, in plan order."""
        return self.folder / "rows.jsonl"

    @property
    def rejected(self) -> Path:
        """What was rejected, one JSON line each, in plan order."""
        return self.folder / "rejected.jsonl"

    def finished(self) -> bool:
        """Whether this block was finished before, by whomever; if so its counts are read."""
        try:
            done = json.loads((self.folder / "done.json").read_text())
        except (OSError, ValueError):
            return False
        same = [done.pop("start", None), done.pop("stop", None)] == [self.start, self.stop]
        if same and self.rows.exists():
            self.counts = Counts(**{**done, "rejected": Counter(done["rejected"])})
            return True
        return False

    def open(self) -> None:
        """Open the journal; what it holds has been paid for and is counted."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.journal = Journal(self.folder / "journal.log")
        except OSError as error:
            raise RunError(f"cannot write {self.folder}: {error.strerror}") from None
        for entry in self.journal.values():
            self.counts.count_answer(entry)

    def spent(self) -> Counts:
        """What earlier sessions spent here, finished or not."""
        if self.finished() or not self.folder.exists():
            return self.counts
        self.open()
        self.close()
        return self.counts

    def settle(self, position: int, outcome: Sequence[Any] | Rejected, item: Any) -> bool:
        """Take the outcome of one position; True when it was the block's last."""
        if isinstance(outcome, Rejected):
            self.counts.rejected[outcome.reason] += 1
            self._rejected[position] = as_line(
                {"position": position, **outcome.model_dump(), "item": as_json(item)}
            )
        else:
            self.counts.kept += len(outcome)
            self._rows[position] = b"".join(as_line(each) for each in outcome)
        self.counts.items += 1
        self._left -= 1
        return self._left == 0

    def finish(self) -> None:
        """Write the output and mark the block as done; a crash inside leaves the block to be
        replayed."""
        assert self.journal is not None
        try:
            self.journal.sync()
            self.journal.close()
            write_atomic(self.rows, b"".join(self._rows[p] for p in sorted(self._rows)))
            rejected = b"".join(self._rejected[p] for p in sorted(self._rejected))
            write_atomic(self.rejected, rejected, durable=bool(rejected))
            # Not dataclasses.asdict: it takes a Counter's items for its keys.
            counts = {each.name: getattr(self.counts, each.name) for each in fields(Counts)}
            done = {"start": self.start, "stop": self.stop, **counts}
            # A torn mark is no mark: the block is replayed. So this one need not be waited for.
            write_atomic(self.folder / "done.json", json.dumps(done).encode(), durable=False)
        except OSError as error:
            raise RunError(f"cannot write {self.folder}: {error.strerror}") from None
        self._rows, self._rejected = {}, {}

    def close(self) -> None:
        """Release the journal of an unfinished block."""
        if self.journal is not None:
            self.journal.close()


def write_atomic(path: Path, data: bytes, durable: bool = True) -> None:
    """Replace a file as a whole: after a crash it holds the old bytes or the new ones.

    ``durable`` waits for the disk; without it, only a death of the process is covered.
    """
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)


def as_json(item: Any) -> Any:
    """A pydantic model as a dict; anything else as it is."""
    return item.model_dump() if hasattr(item, "model_dump") else item


def as_line(item: Any) -> bytes:
    """One item as a line of JSON: keys in their order, unicode kept."""
    return compact(as_json(item)) + b"\n"
