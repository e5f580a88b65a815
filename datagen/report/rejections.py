"""Why items were rejected: counts by stage and reason, and two examples of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from datagen.report.files import as_text, read_lines, rejected_files
from datagen.report.metrics import Metrics

EXAMPLES, REASONS = 2, 100
"""Examples of a reason, and reasons of a stage that get examples."""
LONGEST = 4000
"""Characters of an example's raw text that are kept."""


class Example(BaseModel):
    """One rejected item."""

    model_config = ConfigDict(frozen=True)

    position: str
    detail: str
    text: str
    """The raw answer's beginning."""
    left_out: int
    """Characters of the raw answer beyond it."""


class Reason(BaseModel):
    """A reason of one stage."""

    model_config = ConfigDict(frozen=True)

    reason: str
    count: int
    examples: tuple[Example, ...] = ()


def rejections(run: Path, metrics: Metrics, damaged: Counter[str]) -> dict[str, list[Reason]]:
    """Reasons by stage, the most frequent first; counted from the files and from the metrics.

    While a stage is being made its files lag behind its metrics: the larger count stands.
    """
    counted = {s.name: Counter(s.rejected) for s in metrics.stages if s.rejected}
    examples: dict[str, dict[str, list[Example]]] = {}
    for stage, files in rejected_files(run).items():
        seen, examples[stage] = _read(read_lines(files, damaged))
        counted[stage] = counted.get(stage, Counter()) | seen
    return {
        stage: [
            Reason(reason=r, count=n, examples=tuple(examples.get(stage, {}).get(r, ())))
            for r, n in sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
        ]
        for stage, reasons in sorted(counted.items())
        if reasons
    }


def _read(lines: Iterable[dict[str, Any]]) -> tuple[Counter[str], dict[str, list[Example]]]:
    seen: Counter[str] = Counter()
    examples: dict[str, list[Example]] = {}
    for line in lines:
        reason = as_text(line.get("reason")) or "unknown"
        seen[reason] += 1
        if reason not in examples and len(examples) == REASONS:
            continue
        kept = examples.setdefault(reason, [])
        if len(kept) < EXAMPLES:
            kept.append(_example(line))
    return seen, examples


def _example(line: dict[str, Any]) -> Example:
    text = as_text(line.get("text"))
    return Example(
        position=as_text(line.get("position")),
        detail=as_text(line.get("detail"))[:LONGEST],
        text=text[:LONGEST],
        left_out=max(0, len(text) - LONGEST),
    )
