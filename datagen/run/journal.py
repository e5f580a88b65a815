"""The journal: every effect of a run, kept the moment it happened, found again by its key.

One line an entry: ``KEY CRC32 JSON``. An entry is handed to the kernel by one ``write`` before
    anything that depends on it goes on, so ``kill -9`` loses nothing that was read; ``sync``
    (grouped, about once a second, and always before a block is counted as done) makes it survive a
    power cut. A torn last line is cut off when the journal is opened; a damaged line inside is
    skipped and its effect happens again.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datagen.errors import RunError
from datagen.rows import compact

KEY = 32
# macOS has no fdatasync.
_sync = os.fdatasync if sys.platform == "linux" else os.fsync
_HEAD = KEY + 1 + 8 + 1


class Journal:
    """An append-only file of (key, JSON object) entries; the index in memory holds offsets only.

    One process writes a journal at a time (the run folder's lock sees to it).

    Args:
        path: made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._index: dict[bytes, tuple[int, int]] = {}
        self._end = 0
        self.dirty = False
        self._load()

    def __len__(self) -> int:
        return len(self._index)

    def get(self, key: str) -> dict[str, Any] | None:
        """The entry kept under ``key``, or None."""
        place = self._index.get(bytes.fromhex(key))
        if place is None:
            return None
        value: dict[str, Any] = json.loads(os.pread(self._fd, place[1], place[0]))
        return value

    def values(self) -> list[dict[str, Any]]:
        """All entries, in the order they were kept."""
        return [json.loads(os.pread(self._fd, n, at)) for at, n in self._index.values()]

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Keep an entry; when this returns, no death of this process can lose it.

        Raises:
            RunError: the disk is full or failing; the file is left as it was before.
        """
        body = compact(value)
        line = b"%s %08x %s\n" % (key.encode(), zlib.crc32(body, zlib.crc32(key.encode())), body)
        try:
            written = os.pwrite(self._fd, line, self._end)
            if written < len(line):
                written += os.pwrite(self._fd, line[written:], self._end + written)
        except OSError as error:
            os.ftruncate(self._fd, self._end)
            raise RunError(f"cannot write {self.path}: {error.strerror}") from None
        self._index[bytes.fromhex(key)] = (self._end + _HEAD, len(body))
        self._end += len(line)
        self.dirty = True

    def sync(self) -> None:
        """Wait until everything kept so far is on the disk itself."""
        self.dirty, fd = False, self._fd
        if fd >= 0:
            # Else its block has closed it, perhaps this very moment in another thread.
            _sync(fd)

    def close(self) -> None:
        """Release the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _load(self) -> None:
        with open(self._fd, "rb", closefd=False) as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                entry = _parse(line)
                if entry is not None:
                    self._index[entry] = (self._end + _HEAD, len(line) - _HEAD - 1)
                self._end += len(line)
        if os.fstat(self._fd).st_size > self._end:
            os.ftruncate(self._fd, self._end)


def _parse(line: bytes) -> bytes | None:
    """The key of a whole line, or None where the line is damaged."""
    key, checksum, body = line[:KEY], line[KEY + 1 : _HEAD - 1], line[_HEAD:-1]
    try:
        if line[KEY : KEY + 1] + line[_HEAD - 1 : _HEAD] != b"  ":
            return None
        if int(checksum, 16) != zlib.crc32(body, zlib.crc32(key)):
            return None
        return bytes.fromhex(key.decode("ascii"))
    except ValueError:
        return None


def find_answers(run: Path, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The journal entries of ``keys``, read from all journals of a run folder without changing
    them."""
    wanted = {key.encode(): key for key in keys}
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(run.glob("blocks/*/*/journal.log")):
        with path.open("rb") as file:
            for line in file:
                key = wanted.get(line[:KEY])
                if key is not None and line.endswith(b"\n") and _parse(line) is not None:
                    found[key] = json.loads(line[_HEAD:-1])
        if len(found) == len(wanted):
            break
    return found
