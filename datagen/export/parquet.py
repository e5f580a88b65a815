"""Rows -> one parquet file in batches, with a type known beforehand for every column.

A schema inferred from the first batch breaks on the first later row that is richer (to Arrow, an
empty list is a list of nulls), after everything has been paid for. Batches go through Arrow's JSON
reader rather than its Python one, which is slower and imports pandas (50 MB) on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from datagen.errors import ConfigError
from datagen.rows_io import MESSAGE_COLUMNS, line_of, written_whole

BATCH_ROWS = 1024
BATCH_BYTES = 4 * 2**20

ROW_COLUMNS = ("id", "prompt", "completion", "provenance")


def write_parquet(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows with the columns of the first one, whole or not at all; returns how many.

    Equal rows give equal bytes (of one pyarrow release). No rows give ``ROW_COLUMNS``.

    Raises:
        ConfigError: a column that rows have no type for.
        RunError: the folder cannot be written, or the disk is full.
    """
    import pyarrow.parquet

    rows = iter(rows)
    first = list(next(([row] for row in rows), []))
    schema = _schema(first[0] if first else dict.fromkeys(ROW_COLUMNS), path)
    count = 0
    with (
        written_whole(path) as file,
        pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for lines in _batches(chain(first, rows)):
            writer.write_table(_table(lines, schema))
            count += len(lines)
    return count


def _schema(row: dict[str, Any], path: Path) -> Any:
    """The Arrow schema of the row's columns, always in one order."""
    import pyarrow

    text = pyarrow.string()
    messages = pyarrow.list_(pyarrow.struct([("role", text), ("content", text)]))
    types = {
        "id": text,
        **dict.fromkeys((*MESSAGE_COLUMNS, "messages"), messages),
        **dict.fromkeys(("instruction", "input", "output", "system"), text),
        "history": pyarrow.list_(pyarrow.list_(text)),
        "score": pyarrow.float64(),
        **dict.fromkeys(("source", "provenance"), text),
    }
    # Alpaca pairs hold their two answers as text.
    types |= {side: text for side in ("chosen", "rejected") if isinstance(row.get(side), str)}
    if odd := sorted(row.keys() - types.keys()):
        known = ", ".join(types)
        raise ConfigError(f"cannot write {path}: unknown column {odd[0]}: rows may have {known}")
    return pyarrow.schema([(name, types[name]) for name in types if name in row])


def _table(lines: list[bytes], schema: Any) -> Any:
    """JSON lines as an Arrow table of this schema."""
    import pyarrow.json

    text = b"".join(lines)
    return pyarrow.json.read_json(
        pyarrow.BufferReader(text),
        # One block, because a row longer than a block is refused.
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=pyarrow.json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="error"
        ),
    )


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[bytes]]:
    """JSON lines, bounded in number and in bytes."""
    batch: list[bytes] = []
    size = 0
    for row in rows:
        batch.append(line_of(row))
        size += len(batch[-1])
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
