"""Find a row of a run folder by its id, the beginning of its id, or its plan position."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datagen.errors import ConfigError
from datagen.run.terminal import plain

FEWEST = 6
"""Characters of an id that name a row, at least."""


def find_row(run: Path, wanted: str) -> tuple[Path, dict[str, Any]]:
    """The file and the row that an id, the beginning of one, or a plan position names.

    Raises:
        ConfigError: no such row, or more than one.
    """
    if not run.is_dir():
        raise ConfigError(f"{run} is not a folder: give the run folder that --out named")
    place = re.fullmatch(r"(?:(train|heldout)?#)?(\d+)", wanted, re.ASCII)
    if place and ("#" in wanted or len(wanted) < FEWEST):
        return _at_position(run, place[1] or "train", int(place[2][:18]))
    if not re.fullmatch(r"[0-9a-zA-Z_.:-]{6,200}", wanted):
        raise ConfigError(
            f"{plain(wanted)!r} names no row: give {FEWEST} or more characters of an id, or a plan "
            "position such as #12 or heldout#12"
        )
    found = _with_prefix(run, wanted.lower())
    if not found and place:
        return _at_position(run, "train", int(wanted[:18]))
    if not found:
        raise ConfigError(f"no row of {run} has an id that begins with {wanted}: check the id")
    if len(found) > 1:
        some = ", ".join(plain(name)[:40] for name in sorted(found)[:3])
        raise ConfigError(
            f"{len(found)} rows of {run} have ids that begin with {wanted} ({some}): "
            "give more of it"
        )
    return next(iter(found.values()))


def _files(run: Path, split: str | None = None) -> list[Path]:
    """Row files, what was kept before what was made; a stage's blocks where it has no file yet."""
    kinds = {"train": "rows", "heldout": "heldout"}
    found: list[Path] = []
    for name, stage in kinds.items():
        if split in (None, name):
            found += [p for p in [run / "dataset" / f"{name}.jsonl"] if p.exists()]
            found += sorted(run.glob(f"[0-9]_{stage}.jsonl"))
            found += sorted(run.glob(f"blocks/[0-9]_{stage}/*/rows.jsonl"))
    return found


def _with_prefix(run: Path, prefix: str) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Rows by id, each from the first file that has it."""
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    mark = re.compile(re.escape(prefix).encode(), re.IGNORECASE)
    for path in _files(run):
        for row in scan_lines(path, mark):
            name = row.get("id")
            if isinstance(name, str) and name.lower().startswith(prefix):
                found.setdefault(name, (path, row))
    exact = {name: each for name, each in found.items() if name.lower() == prefix}
    return exact or found


def _at_position(run: Path, split: str, position: int) -> tuple[Path, dict[str, Any]]:
    mark = re.compile(rb'position\\*"\s*:\s*%d\b' % position)
    for path in _files(run, split):
        for row in scan_lines(path, mark):
            facts = provenance(row)
            if facts.get("position") == position and facts.get("split", split) == split:
                return path, row
    stage = "heldout" if split == "heldout" else "rows"
    for path in sorted(run.glob(f"rejected/[0-9]_{stage}.jsonl")):
        for item in scan_lines(path, mark):
            if item.get("position") == position:
                raise ConfigError(
                    f"{split} position {position} of {run} gave no row, it was rejected as "
                    f"{plain(item.get('reason'))} ({plain(item.get('detail'))[:200]}): read {path}"
                )
    raise ConfigError(f"{run} has no row at {split} position {position}: check the position")


def scan_lines(path: Path, mark: re.Pattern[bytes] | None = None) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file, of lines that hold ``mark``; damaged ones are passed over."""
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        for line in file:
            if mark is not None and not mark.search(line):
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                yield value


def provenance(row: dict[str, Any]) -> dict[str, Any]:
    """The row's provenance, or nothing where it has none that can be read."""
    try:
        facts = json.loads(row["provenance"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}
