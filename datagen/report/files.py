"""A run folder read as it is found: files may be missing, cut or damaged, and the report says so.

Everything is read a line at a time. A stage that is not finished has no file of its own yet; what
its blocks have finished stands in ``blocks/<stage>/*/rows.jsonl``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from datagen.errors import ConfigError

_MARKS = ("run.json", "config.json", "metrics.json", "manifest.json", "dataset", "blocks")


def check_folder(run: Path) -> None:
    """Raise ConfigError where ``run`` is no run folder."""
    if not run.is_dir():
        raise ConfigError(f"{run} is not a folder: give the run folder that --out named")
    if not any((run / name).exists() for name in _MARKS):
        raise ConfigError(
            f"{run} is not a run folder (none of {', '.join(_MARKS)} is in it): give the folder "
            "that --out named"
        )


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, or None where there is none."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_lines(paths: Iterable[Path], damaged: Counter[str]) -> Iterator[dict[str, Any]]:
    """The JSON objects of .jsonl files, one at a time; lines that are none are counted by file
    name in ``damaged``, and files that are not there are passed over."""
    for path in paths:
        try:
            file = path.open("rb")
        except OSError:
            continue
        with file:
            for line in file:
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError):
                    value = None
                if isinstance(value, dict):
                    yield value
                elif line.strip():
                    damaged[path.name] += 1


def row_files(run: Path) -> list[Path]:
    """Where the rows are: the dataset, else the rows stage, else its finished blocks."""
    train = run / "dataset" / "train.jsonl"
    if train.exists():
        return [train]
    whole = sorted(run.glob("[0-9]_rows.jsonl"))
    return whole[-1:] or sorted(run.glob("blocks/[0-9]_rows/*/rows.jsonl"))


def rejected_files(run: Path) -> dict[str, list[Path]]:
    """Files of rejected items by stage; for an unfinished stage those of its finished blocks."""
    found = {path.stem: [path] for path in sorted(run.glob("rejected/*.jsonl"))}
    for path in sorted(run.glob("blocks/*/*/rejected.jsonl")):
        stage = path.parent.parent.name
        if not (run / f"{stage}.jsonl").exists():
            found.setdefault(stage, []).append(path)
    return dict(sorted(found.items()))


def as_text(value: Any) -> str:
    """A value of a file as text: text as it is, nothing for None, else JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
