"""The dataset card: README.md as hubs and people read it, with counts, exact configuration, limits.

Front matter as the Hugging Face hub documents it: configs with data_files for each split,
size_categories, language, tags. A link to arXiv in the text makes the hub list the paper.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datagen import __version__
from datagen.export.info import DatasetInfo
from datagen.export.markdown import code, data_files, fenced, plain, quoted, table
from datagen.export.views import FORMATS, PAIR_FORMATS, SPLITS, Shape

SHOWN_CHARACTERS = 600

_COLUMNS = {
    "id": "text: hash of the row's content and of its place in the run's plan",
    "prompt": "list of {role, content}: what the model is given",
    "completion": "list of {role, content}: what the model learns to write",
    "chosen": "list of {role, content}: the better completion",
    "rejected": "list of {role, content}: the worse completion",
    "score": "number: how good the completion is",
    "source": "text: which source the row comes from",
    "provenance": "text: a JSON object that says where the row comes from",
}
_PROVENANCE = {
    "generator": "the generator that made the row",
    "split": "train or heldout (planned with another seed)",
    "position": "place in the run's plan, which is made from the seed before any request",
    "skills": "skills the instruction was to exercise",
    "topics": "for each skill, the topics it was named under",
    "query_type": "kind of query the instruction was to be",
    "model": "the model that wrote the row",
    "turns": "turns of the conversation in which the row was made",
    "prompts": "hash of each prompt template used",
    "answers": "journal keys of the model's answers used",
    "attempt": "number of the attempt that passed the checks",
}
_LIMITS = (
    "Every row was written by a model and carries its errors, biases and style. "
    "Nobody has checked the facts.",
    "Filters are rules about form; they do not find what is false.",
    "The terms of the model that wrote the rows may restrict what is trained on them.",
)
_SIZES = {
    10**3: "n<1K",
    10**4: "1K<n<10K",
    10**5: "10K<n<100K",
    10**6: "100K<n<1M",
    10**7: "1M<n<10M",
    10**8: "10M<n<100M",
    10**9: "100M<n<1B",
}


@dataclass(slots=True)
class Figures:
    """Counted while the rows go by."""

    shape: Shape = field(default_factory=Shape)
    characters: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Characters of all messages, by split and column."""
    first: dict[str, Any] | None = None
    """The first row."""

    def counting(self, split: str, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The same rows, counted; a split without rows is still a split."""
        self.shape.rows[split] = 0
        for row in rows:
            self.first = self.first or row
            self.shape.add(split, row)
            for column in row.keys() & {"prompt", "completion", "chosen", "rejected"}:
                length = sum(len(message["content"]) for message in row[column])
                self.characters[split, column] += length
            yield row


def card(folder: Path, info: DatasetInfo, figures: Figures) -> str:
    """The whole README.md of the parquet files in ``folder``."""
    title = info.title or info.generator
    columns = [(name, _COLUMNS.get(name, "")) for name in figures.first or ()]
    provenance = [(name, _PROVENANCE.get(name, "")) for name in _provenance_fields(figures.first)]
    return "\n".join(
        part
        for part in (
            *_front_matter(folder, info, figures.shape, title),
            f"\n# {plain(title)}\n",
            _opening(info, figures.shape),
            "## Rows\n",
            _rows_table(figures),
            _example(figures.first),
            "## How it was made\n",
            *_making(info),
            "## Columns\n",
            table(("column", "holds"), columns),
            table(("in provenance", "meaning"), provenance),
            "## Use\n",
            *_use(figures.shape),
            "## Limits\n",
            "".join(f"- {plain(limit)}\n" for limit in (*info.limits, *_LIMITS)),
        )
        if part
    )


def _front_matter(folder: Path, info: DatasetInfo, shape: Shape, title: str) -> Iterator[str]:
    """Lines of YAML; every free text is a JSON string."""
    yield "---"
    yield f"pretty_name: {quoted(title)}"
    if info.license:
        yield f"license: {quoted(info.license)}"
    yield "language:"
    yield from (f"- {quoted(name)}" for name in info.language)
    yield "task_categories:\n- text-generation"
    yield "tags:"
    yield from (f"- {quoted(tag)}" for tag in ("datagen", "synthetic", info.generator))
    yield f"size_categories:\n- {_size(shape.rows.total())}"
    yield from data_files(folder, {split: f"{split}.parquet" for split in _splits(shape)})
    yield "---"


def _opening(info: DatasetInfo, shape: Shape) -> str:
    kind = "preference pairs" if shape.pairs else "rows"
    through = f" (engine {code(info.engine)})" if info.engine else ""
    made = f"`datagen` {__version__} ({code(info.generator)})"
    return (
        f"{shape.rows.total():,} {kind}, written by the model {code(info.model)}{through} "
        f"and made with {made}.\n"
    )


def _rows_table(figures: Figures) -> str:
    names = [name for name in _COLUMNS if any(name == column for _, column in figures.characters)]
    head = ("split", "rows", *(f"{name}, mean characters" for name in names))
    rows = []
    for split in _splits(figures.shape):
        count = figures.shape.rows[split]
        means = (f"{figures.characters[split, name] / max(count, 1):,.0f}" for name in names)
        rows.append((split, f"{count:,}", *means))
    return table(head, rows)


def _example(row: dict[str, Any] | None) -> str:
    """The first row, long texts shortened."""
    if row is None:
        return "There is no row: everything was rejected.\n"
    shown = {name: _shortened(value) for name, value in row.items()}
    text = json.dumps(shown, indent=2, ensure_ascii=False)
    return f"The first one:\n\n{fenced(text, 'json')}"


def _making(info: DatasetInfo) -> Iterator[str]:
    if info.summary:
        yield f"{plain(info.summary)}\n"
    if info.paper:
        yield f"Method: {plain(info.paper)}.\n"
    if info.arxiv:
        yield f"Paper: https://arxiv.org/abs/{plain(info.arxiv)}\n"
    if info.command:
        yield fenced(info.command, "sh")
    if info.config:
        text = json.dumps(info.config, indent=2, sort_keys=True, ensure_ascii=False)
        yield f"The whole configuration:\n\n{fenced(text, 'json')}"
    yield table(("figure", "count"), [(name, f"{count:,}") for name, count in info.counts.items()])


def _use(shape: Shape) -> Iterator[str]:
    formats = ", ".join(PAIR_FORMATS if shape.pairs else FORMATS)
    yield 'With `datasets`: `load_dataset("FOLDER")`, FOLDER being where this file is.\n'
    yield (
        f"For a trainer: `datagen export RUN --format F`, with F one of {formats}. It writes the "
        "rows as that trainer reads them, and its configuration, with the loss on the completion "
        "only. The entries of `dataset_info.json` (LLaMA-Factory) are those exports.\n"
    )
    if shape.earlier_answers:
        yield (
            f"{shape.earlier_answers:,} rows have assistant turns in the prompt: "
            "they are context, not to be learnt.\n"
        )
    if shape.media_tags:
        yield f"{media_note(shape)}\n"


def media_note(shape: Shape) -> str:
    """What rows that speak of <image> and the like do to trainers of multimodal models."""
    return (
        f"{shape.media_tags:,} rows hold `<image>`, `<video>` or `<audio>` as text: "
        "trainers of multimodal models look for a file behind each, and stop."
    )


def _splits(shape: Shape) -> list[str]:
    return [split for split in SPLITS if split in shape.rows]


def _provenance_fields(row: dict[str, Any] | None) -> list[str]:
    """Names in the first row's provenance; another program may have written it."""
    try:
        provenance = json.loads((row or {}).get("provenance", "{}"))
    except (ValueError, RecursionError):
        return []
    return list(provenance) if isinstance(provenance, dict) else []


def _size(rows: int) -> str:
    return next((name for bound, name in _SIZES.items() if rows < bound), "n>1B")


def _shortened(value: Any) -> Any:
    """Texts of a row cut for showing, with their whole length."""
    if isinstance(value, list):
        return [{**message, "content": _shortened(message["content"])} for message in value]
    if isinstance(value, str) and len(value) > SHOWN_CHARACTERS:
        return f"{value[:SHOWN_CHARACTERS]}... ({len(value):,} characters)"
    return value
