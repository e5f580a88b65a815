"""Everything the report says, gathered once: the page and the summary only lay it out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from datagen.evals.diversity import Diversity, Lengths, diversity, draw, lengths
from datagen.report import released
from datagen.report.coverage import Coverage, coverage
from datagen.report.files import (
    as_text,
    check_folder,
    read_json,
    read_lines,
    rejected_files,
    row_files,
)
from datagen.report.metrics import Metrics, read_metrics
from datagen.report.rejections import Reason, rejections
from datagen.report.scan import Scan, scan

PARTS = ("instruction", "response")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a run."""

    name: str
    folder: str
    """How to name the run in a command: the path as it was given where that is relative."""
    metrics: Metrics
    config: dict[str, Any]
    whole: bool
    """The manifest is there, which is written last."""
    notes: tuple[str, ...]
    """What is missing or damaged, a sentence each."""
    rows: Scan
    heldout: int
    rejected: dict[str, list[Reason]]
    query_types: dict[str, int]
    """Rows by query type, in the order of the inventory, the unused ones included."""
    coverage: Coverage | None
    words: dict[str, Lengths]
    """Of instruction and response, over all rows."""
    diversity: dict[str, list[Diversity]]
    """Of instruction and response: over at most 1,000 rows, then over 100 where there are more."""

    @property
    def state(self) -> str:
        """``complete``, ``partial`` (rows were rejected) or ``unfinished``."""
        if not self.whole:
            return "unfinished"
        return "partial" if self.metrics.refused_rows else "complete"

    @property
    def skillmix(self) -> bool:
        """Whether the paper's released data is of the same kind."""
        return self.metrics.generator.startswith("skillmix") or "skillmix" in self.config


def gather(run: Path) -> Facts:
    """Read a run folder; again only when one of its files has changed.

    Raises:
        ConfigError: it is no run folder.
    """
    check_folder(run)
    files = [
        *run.glob("*.json*"),
        *run.glob("dataset/*.jsonl"),
        *(path for paths in rejected_files(run).values() for path in paths),
        *row_files(run),
    ]
    marks = ((p, p.stat()) for p in sorted(set(files)) if p.exists())
    return _gather(run, tuple((str(p), s.st_mtime_ns, s.st_size) for p, s in marks))


@lru_cache(maxsize=1)
def _gather(run: Path, _files: tuple[tuple[str, int, int], ...]) -> Facts:
    damaged: Counter[str] = Counter()
    metrics, notes = read_metrics(run)
    rows = scan(read_lines(row_files(run), damaged))
    inventory = {
        as_text(line.get("skill")) for line in read_lines([run / "2_skills.jsonl"], damaged)
    }
    types = [
        as_text(line.get("name")) for line in read_lines([run / "3_query_types.jsonl"], damaged)
    ]
    heldout = sum(1 for _ in read_lines([run / "dataset" / "heldout.jsonl"], damaged))
    rejected = rejections(run, metrics, damaged)
    whole = read_json(run / "manifest.json") is not None
    return Facts(
        name=run.resolve().name,
        folder=run.name if run.is_absolute() else str(run),
        metrics=metrics,
        config=read_json(run / "config.json") or {},
        whole=whole,
        notes=(*notes, *_missing(run, rows.rows), *_damage(damaged)),
        rows=rows,
        heldout=heldout,
        rejected=rejected,
        query_types={name: rows.query_types[name] for name in [*types, *sorted(rows.query_types)]},
        coverage=coverage(inventory, rows.skills, rows.sizes, rows.combinations),
        words={
            "instruction": lengths(rows.instruction_words),
            "response": lengths(rows.response_words),
        },
        diversity=_diversity(rows),
    )


def _diversity(rows: Scan) -> dict[str, list[Diversity]]:
    """At the sizes of the released files, as far as there are rows: equal sizes compare."""
    kept = rows.measured.items()
    few = draw(kept, released.HELDOUT)
    samples = [kept, few] if len(kept) > len(few) else [kept]
    return {
        part: [diversity(pair[i] for pair in sample) for sample in samples if sample]
        for i, part in enumerate(PARTS)
    }


def _missing(run: Path, rows: int) -> list[str]:
    notes = []
    if read_json(run / "config.json") is None:
        notes.append("config.json is not there or damaged: the settings are not known.")
    if not (run / "dataset" / "train.jsonl").exists():
        found = "these rows come from the stage's files" if rows else "no row was found"
        notes.append(f"dataset/train.jsonl is not there: {found}.")
    return notes


def _damage(damaged: Counter[str]) -> list[str]:
    return [
        f"{name}: {count:,} {'line is' if count == 1 else 'lines are'} cut or damaged and left out."
        for name, count in sorted(damaged.items())
    ]
