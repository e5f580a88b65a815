"""The finished dataset of a run: a folder that opens anywhere and says what it is.

dataset/train.jsonl        the rows, written by the run    (heldout.jsonl with --heldout)
dataset/train.parquet      the same rows, typed and small  (heldout.parquet)
dataset/README.md          the dataset card
dataset/dataset_info.json  LLaMA-Factory's entries of what `datagen export` writes beside it
"""

from __future__ import annotations

from pathlib import Path

from datagen.errors import ConfigError
from datagen.export.card import Figures, card
from datagen.export.info import DatasetInfo
from datagen.export.llamafactory import dataset_info
from datagen.export.parquet import write_parquet
from datagen.export.views import SPLITS
from datagen.rows_io import read_rows, write_text

_EXPORTS = {format: f"../export/{format}/" for format in ("sharegpt", "alpaca", "messages")}


def finish_dataset(folder: Path, info: DatasetInfo) -> None:
    """Write parquet, card and dataset_info.json beside train.jsonl (and heldout.jsonl, if any).

    Rows are streamed; each file is replaced whole; equal rows and ``info`` give equal bytes.

    Raises:
        ConfigError: there is no train.jsonl, or a line is not a row (names file and line).
        RunError: the folder cannot be written, or the disk is full.
    """
    if not (folder / "train.jsonl").is_file():
        raise ConfigError(f"no train.jsonl in {folder}: run the command that makes it again")
    figures = Figures()
    for split in SPLITS:
        rows, parquet = folder / f"{split}.jsonl", folder / f"{split}.parquet"
        if rows.is_file():
            write_parquet(parquet, figures.counting(split, read_rows(rows)))
        else:
            parquet.unlink(missing_ok=True)  # of an earlier run with --heldout
    entries = dataset_info(info.generator, figures.shape, _EXPORTS)
    write_text(folder / "dataset_info.json", entries)
    write_text(folder / "README.md", card(folder, info, figures))
