"""Rows of a run -> a folder that one trainer reads as it is, with its configuration beside it.

Two passes over the source, each a row at a time. The first finds faults, and which columns are
needed: they must not vary within a file, nor between train and heldout. The second writes. A fault
in the source therefore leaves an earlier export as it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.errors import ConfigError
from datagen.export.guide import LEFT_OUT, MARK, write_guides
from datagen.export.parquet import write_parquet
from datagen.export.views import FORMATS, PAIR_FORMATS, SPLITS, Shape, unfit, view
from datagen.rows_io import read_rows, write_rows, write_text


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote; ``str()`` says it in one line."""

    folder: Path
    format: str
    rows: dict[str, int]
    """Rows written, by split."""
    left_out: dict[str, int]
    """Rows the format cannot hold, by reason; listed in the folder's left_out.jsonl."""

    def __str__(self) -> str:
        counts = ", ".join(f"{split} {count:,}" for split, count in self.rows.items())
        out = "".join(f"; {count:,} left out, {why}" for why, count in self.left_out.items())
        return f"{self.folder}: {self.format} rows: {counts}{out}"


def export(source: Path, format: str, out: Path | None = None) -> Exported:
    """Write the rows of ``source`` (a run, its dataset folder, or a .jsonl file) as ``format``.

    ``out`` is RUN/export/FORMAT if nothing is said, beside a .jsonl file export/FORMAT. An earlier
    export is replaced; a folder that holds anything else is refused.

    Raises:
        ConfigError: unknown format, no such run, a line that is not a row, or no row that fits.
        RunError: the folder cannot be written, or the disk is full.
    """
    if format not in FORMATS:
        raise ConfigError(f"unknown format {format!r}: choose one of {', '.join(FORMATS)}")
    files = source_files(source)
    folder = out or _run_of(source) / "export" / format
    shape = _survey(files, format)
    _prepare(folder, files, shape, format)
    for split in shape.rows:
        _write(folder / f"{split}.{shape.suffix(format)}", files[split], format, shape)
    _write_left_out(folder, files, format, shape)
    write_guides(folder, _name(source), format, shape)
    return Exported(folder, format, dict(shape.rows), dict(shape.left_out))


def source_files(source: Path) -> dict[str, Path]:
    """The row files of a run or a dataset folder, or the one file given; by split.

    Raises:
        ConfigError: there are none (says what to run).
    """
    if source.is_file():
        return {"train": source}
    if not source.is_dir():
        raise ConfigError(f"no run at {source}: give a run's folder; `datagen skillmix` makes one")
    for folder in (source / "dataset", source):
        files = {split: folder / f"{split}.jsonl" for split in SPLITS}
        if files["train"].is_file():
            return {split: file for split, file in files.items() if file.is_file()}
    raise ConfigError(
        f"no dataset/train.jsonl in {source}: the run is not finished; "
        "give its command again and it goes on where it stopped"
    )


def _survey(files: dict[str, Path], format: str) -> Shape:
    """First pass: what the rows have in common, and which do not fit."""
    shape = Shape()
    for split, file in files.items():
        for row in read_rows(file):
            if "completion" not in row and format not in PAIR_FORMATS:
                choice = ", ".join(PAIR_FORMATS)
                raise ConfigError(f"{file} holds pairs, which {format} cannot: choose of {choice}")
            if reason := unfit(format, row):
                shape.left_out[reason] += 1
            else:
                shape.add(split, row)
    if not shape.rows["train"]:
        reasons = (f"{reason} ({count:,} rows)" for reason, count in shape.left_out.items())
        why = "; ".join(reasons) or "the file is empty"
        raise ConfigError(f"{files['train']} has no row that {format} can hold: {why}")
    return shape


def _run_of(source: Path) -> Path:
    """The run's folder (the folder of a .jsonl file that is not in a run)."""
    folder = source if source.is_dir() else source.parent
    return folder.parent if folder.name == "dataset" else folder


def _name(source: Path) -> str:
    """What to call the rows: the run's generator, else the file or folder."""
    try:
        config = json.loads((_run_of(source) / "config.json").read_text("utf-8"))
        return str(config["generator"])
    except (OSError, ValueError, KeyError, TypeError):
        return source.resolve().stem


def _prepare(folder: Path, files: dict[str, Path], shape: Shape, format: str) -> None:
    """Make the folder, or take over an earlier export's; the README says that it is not whole."""
    readme = folder / "README.md"
    ours = {folder / f"{split}.{suffix}" for split in SPLITS for suffix in ("jsonl", "parquet")}
    if {file.resolve() for file in files.values()} & {file.resolve() for file in ours}:
        raise ConfigError(f"the rows are read from {folder}: choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not _is_export(readme):
            raise ConfigError(f"{folder} holds files that no export wrote: choose another --out")
    except OSError as error:
        raise ConfigError(f"cannot make {folder}: {error.strerror}: choose another --out") from None
    write_text(readme, f"{MARK}\nThis export was not finished. Run it again.\n")
    for stale in ours - {folder / f"{split}.{shape.suffix(format)}" for split in shape.rows}:
        stale.unlink(missing_ok=True)


def _is_export(readme: Path) -> bool:
    return readme.is_file() and MARK in readme.read_text("utf-8", "replace")


def _write(path: Path, source: Path, format: str, shape: Shape) -> None:
    marked = shape.marked(format)
    rows = (view(format, row, marked) for row in read_rows(source) if not unfit(format, row))
    if shape.suffix(format) == "jsonl":
        write_rows(path, rows)
    else:
        write_parquet(path, rows)


def _write_left_out(folder: Path, files: dict[str, Path], format: str, shape: Shape) -> None:
    """Which rows are not in the export and why: nothing is dropped in silence."""
    if shape.left_out:
        write_rows(folder / LEFT_OUT, _left_out(files, format))
    else:
        (folder / LEFT_OUT).unlink(missing_ok=True)


def _left_out(files: dict[str, Path], format: str) -> Iterator[dict[str, Any]]:
    for split, file in files.items():
        for number, row in enumerate(read_rows(file), 1):
            if reason := unfit(format, row):
                yield {"split": split, "row": number, "id": row.get("id", ""), "reason": reason}
