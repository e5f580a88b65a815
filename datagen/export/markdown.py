"""Markdown from text that users and models wrote: HTML escaped, cells and fences that hold."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

_MARKUP = str.maketrans({mark: f"&#{ord(mark)};" for mark in "`#[|"})


def line(text: str) -> str:
    """Text on one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def plain(text: str) -> str:
    """Text on one line that is neither HTML nor a fence, heading, link or table cell."""
    return html.escape(line(text), quote=False).translate(_MARKUP)


def quoted(text: str) -> str:
    """A JSON string, which is a YAML string too."""
    return json.dumps(line(text), ensure_ascii=False)


def code(text: str) -> str:
    """Text on one line between backticks."""
    return f"`{line(text).replace('`', chr(39))}`"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table, or nothing where there are no rows."""
    body = [[plain(cell) for cell in row] for row in rows]
    lines = [list(head), ["---"] * len(head), *body] if body else []
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def fenced(text: str, language: str) -> str:
    """A code block whose fence is longer than any run of backticks in the text."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def data_files(folder: Path, names: Mapping[str, str]) -> list[str]:
    """Front matter lines that tell a hub, and datasets, which file of ``folder`` is which split.

    datasets keeps what it read from a local folder under the folder's last name and this front
    matter, whatever the files hold: without the contents in it, RUN1/dataset read after
    RUN2/dataset gives the rows of RUN2.
    """
    digest = hashlib.sha256()
    for name in names.values():
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return [
        "configs:",
        "- config_name: default",
        f'  description: "contents {digest.hexdigest()[:16]}"',
        "  data_files:",
        *(f"  - split: {split}\n    path: {name}" for split, name in names.items()),
    ]
