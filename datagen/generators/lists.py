"""Lists of names and query types in a user's own files, checked line by line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from datagen.errors import ConfigError
from datagen.generators.names import QueryType, parse_query_types


def read_list(path: str | Path, warn: Callable[[str], None] | None = None) -> list[str]:
    """Names from a user's file: one a line, a .jsonl of strings or objects, or a JSON list.

    Objects have "skill", "topic" or "name". In plain text, blank lines and lines that start with #
    are left out. Duplicates (but for case and spaces) are merged and told to ``warn``.

    Raises:
        ConfigError: the file cannot be read, a line is no name, or there is no name in it.
    """
    found = [(where, _entry_name(where, value)) for where, value in _entries(Path(path))]
    return [found[position][1] for position in _distinct(Path(path), found, warn)]


def read_query_types(
    path: str | Path, warn: Callable[[str], None] | None = None
) -> list[QueryType]:
    """Query types from a .jsonl or .json of {"name", "definition", "examples"}, or text blocks.

    Raises:
        ConfigError: as ``read_list``; or an object lacks a name or a definition.
    """
    path = Path(path)
    if path.suffix in (".json", ".jsonl"):
        found = [(where, _entry_type(where, value)) for where, value in _entries(path)]
    else:
        found = [(str(path), kind) for kind in parse_query_types(_read_text(path))]
    distinct = _distinct(path, [(where, kind.name) for where, kind in found], warn)
    return [found[position][1] for position in distinct]


def _read_text(path: Path) -> str:
    """The text of a user's file (UTF-8, with or without a byte-order mark)."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: give a text file, .jsonl or .json")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}): give an existing file"
        ) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}:{line}: not UTF-8 (byte 0x{data[error.start]:02x} at offset {error.start}): "
            "save the file as UTF-8"
        ) from error
    if "\0" in text:
        raise ConfigError(f"{path}: a binary file, or UTF-16: give a text file saved as UTF-8")
    return text


def _entries(path: Path) -> list[tuple[str, Any]]:
    """Where each entry of a file stands, and its JSON value; of plain text its lines."""
    text = _read_text(path)
    lines = [(f"{path}:{i}", line.strip()) for i, line in enumerate(text.split("\n"), 1)]
    if path.suffix == ".jsonl":
        return [(where, _decode(where, line)) for where, line in lines if line]
    if path.suffix == ".json" or re.fullmatch(r'\s*\[\s*["{\]].*\]\s*', text, re.DOTALL):
        values = _decode(str(path), text)
        if not isinstance(values, list):
            raise ConfigError(f"{path}: not a JSON list: give a list, or one name a line")
        return [(f"{path} entry {i}", value) for i, value in enumerate(values, 1)]
    return [(where, line) for where, line in lines if line and not line.startswith("#")]


def _decode(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not JSON ({error}): mend or remove it") from error


def _entry_name(where: str, value: Any) -> str:
    if isinstance(value, dict):
        value = next((value[field] for field in ("skill", "topic", "name") if field in value), None)
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f'{where}: no name: give a string, {{"skill": ...}} or {{"topic": ...}}')
    if len(value) > 300:
        raise ConfigError(f"{where}: a name of {len(value)} characters: give one short name a line")
    return value.strip()


def _entry_type(where: str, value: Any) -> QueryType:
    try:
        return QueryType.model_validate(value)
    except ValidationError as error:
        what = error.errors()[0]
        field = ".".join(map(str, what["loc"])) or "entry"
        raise ConfigError(
            f'{where}: {field}: {what["msg"]}: give {{"name", "definition", "examples": [...]}}'
        ) from error


def _distinct(
    path: Path, found: list[tuple[str, str]], warn: Callable[[str], None] | None
) -> list[int]:
    """Positions of the first of each name among (where it stands, name); the others are told."""
    first: dict[str, int] = {}
    repeats = []
    for position, (where, name) in enumerate(found):
        kept = first.setdefault(" ".join(name.casefold().split()), position)
        if kept != position:
            repeats.append(f"{where} repeats {found[kept][0]}")
    if not first:
        raise ConfigError(f"{path} has no names in it: give one a line")
    if repeats and warn:
        warn(f"{path}: {len(repeats)} duplicates merged (the first: {repeats[0]})")
    return list(first.values())
