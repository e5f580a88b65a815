"""Row files, read and written a row at a time: memory does not grow with the file.

A file of rows comes from a user's disk: a line that is cut, is not UTF-8, is not JSON or lacks a
column ends the command with one line that names file and line. All rows have the first row's
columns, because readers infer the columns of a file from its beginning (datasets: its first 10 MB).
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import jsonlines

from datagen.errors import ConfigError, RunError

ROLES = ("system", "user", "assistant")
MESSAGE_COLUMNS = ("prompt", "completion", "chosen", "rejected")
TEXT_COLUMNS = ("id", "source", "provenance")

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# Legal inside JSON strings, yet line ends to str.splitlines() and to JavaScript.
_LINE_ENDS = str.maketrans({"\u2028": "\\u2028", "\u2029": "\\u2029", "\x85": "\\u0085"})


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a .jsonl file, one at a time; blank lines are skipped.

    Each has a ``prompt`` and a ``completion`` (or a ``chosen`` and a ``rejected``), which are lists
    of ``{"role", "content"}`` messages, and all rows have the same columns.

    Raises:
        ConfigError: the file cannot be opened, or a line is not such a row.
    """
    columns: frozenset[str] | None = None
    for line, row in _objects(path):
        fault = _row_fault(row)
        if not fault and columns is not None and columns != row.keys():
            odd = ", ".join(sorted(columns ^ row.keys()))
            fault = f"its columns differ from those of the first row ({odd})"
        if fault:
            raise ConfigError(f"{path}, line {line}: {fault}: mend or delete this line")
        columns = columns or frozenset(row)
        yield row


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows as .jsonl, whole or not at all; returns how many. Keys keep their order.

    Raises:
        RunError: the folder cannot be written, or the disk is full.
    """
    count = 0
    with written_whole(path) as file, jsonlines.Writer(file, dumps=_dumps) as writer:
        for row in rows:
            writer.write(row)
            count += 1
    return count


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all; raises RunError as ``write_rows`` does."""
    with written_whole(path) as file:
        file.write(text.encode())


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes its name only when the block ends well: nobody sees half of it.

    Raises:
        RunError: the folder cannot be written, or the disk is full.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"cannot write {path}: {reason}: make room or choose another folder"
        raise RunError(message) from None
    finally:
        with suppress(OSError):
            draft.unlink()


def line_of(row: dict[str, Any]) -> bytes:
    """The row as one line of a .jsonl file: keys in their order, no character that ends lines."""
    return f"{_dumps(row)}\n".encode()


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).translate(_LINE_ENDS)


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and JSON object of every line that is not blank."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}: check the path") from None
    line = 0

    def counted() -> Iterator[bytes]:
        nonlocal line
        for text in file:
            line += 1
            yield text

    with file:
        reader = jsonlines.Reader(counted(), loads=_loads)
        try:
            for row in reader.iter(type=dict, skip_empty=True):
                yield line, row
        except (jsonlines.InvalidLineError, RecursionError) as error:
            fault = _CUT if _is_cut(file) else _line_fault(error)
            raise ConfigError(f"{path}, line {line}: {fault}") from None


def _loads(text: str) -> Any:
    value = json.loads(text)
    if _SURROGATE.search(text):  # a pair is an emoji; half a pair is no text, and Arrow refuses it
        json.dumps(value, ensure_ascii=False).encode()
    return value


_CUT = (
    "the line is cut in the middle, the file was not written whole: "
    "delete this line, or run the command that made the file again"
)


def _line_fault(error: Exception) -> str:
    """What is wrong with a line and what to do."""
    cause = error.__cause__
    if isinstance(cause, UnicodeEncodeError):
        return "half of a surrogate pair (\\ud800 to \\udfff) is no text: mend or delete this line"
    if isinstance(cause, UnicodeDecodeError):
        return f"not UTF-8 text (byte {cause.start + 1} of the line): save the file as UTF-8"
    if isinstance(cause, json.JSONDecodeError):
        return f"not JSON ({cause.msg}, column {cause.colno}): rows are one JSON object a line"
    return "not a JSON object: rows are one JSON object a line"


def _is_cut(file: IO[bytes]) -> bool:
    """Whether the line just read is the last of the file and does not end."""
    if file.read(1):
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def _row_fault(row: dict[str, Any]) -> str:
    """What keeps an object from being a row, or an empty string."""
    if "prompt" not in row:
        return "no column prompt"
    if "completion" not in row and not {"chosen", "rejected"} <= row.keys():
        return "no column completion (nor chosen and rejected)"
    for name in MESSAGE_COLUMNS:
        if name in row and (fault := _messages_fault(row[name])):
            return f"column {name} {fault}"
    for name in TEXT_COLUMNS:
        if name in row and not isinstance(row[name], str):
            return f"column {name} is not text"
    score = row.get("score", 0)
    if not isinstance(score, int | float) or not math.isfinite(score):
        return "column score is not a number"
    return ""


def _messages_fault(messages: Any) -> str:
    if not isinstance(messages, list):
        return "is not a list of messages"
    for message in messages:
        if not isinstance(message, dict) or message.keys() != {"role", "content"}:
            return "holds a message that is not {role, content}"
        if message["role"] not in ROLES:
            role = str(message["role"])[:40]
            return f"holds the role {role!r} (system, user and assistant are known)"
        if not isinstance(message["content"], str):
            return "holds a message whose content is not text"
    return ""
