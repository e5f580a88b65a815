"""The run folder as files: its lock, the configuration it belongs to, and how stage files are put
together."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from datagen.errors import RunError
from datagen.run.block import Block, as_line, write_atomic

BALLAST_BYTES = 4 * 2**20
"""Room for about a thousand answers of four kilobytes: what may still be on the wire when the disk
is full."""


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process, making it if need be.

    Raises:
        RunError: another process holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "run.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise RunError(
            f"cannot write the run folder {folder}: {error.strerror}: give another --out"
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    except BlockingIOError:
        owner = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
        raise RunError(
            f"{folder} is in use by process {owner}: wait for it, or give another --out"
        ) from None
    finally:
        os.close(handle)


def check_identity(folder: Path, identity: dict[str, Any]) -> None:
    """Write what the run's results depend on, or compare it with what the folder was made with.

    Raises:
        RunError: something differs; the message says what, and names a free folder.
    """
    path = folder / "run.json"
    new = _flat(json.loads(json.dumps(identity)))
    try:
        old = _flat(json.loads(path.read_text(encoding="utf-8"))["identity"])
    except FileNotFoundError:
        _write(
            path, json.dumps({"format": 1, "identity": identity}, indent=1, sort_keys=True).encode()
        )
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error}): give another --out") from None
    differing = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    if differing:
        said = ", ".join(
            f"{n} = {_short(old.get(n))} (now {_short(new.get(n))})" for n in differing[:4]
        )
        more = f" and {len(differing) - 4} more" if len(differing) > 4 else ""
        raise RunError(
            f"{folder} was made with {said}{more}: give --out {_free(folder)} for a new run, "
            "or the old setting to go on"
        )


def join_blocks(folder: Path, name: str, blocks: Iterable[Block]) -> None:
    """Put the outputs of all blocks together in plan order: ``name.jsonl`` and
    ``rejected/name.jsonl``."""
    parts = [(block.rows, block.rejected) for block in blocks]
    rejected = folder / "rejected" / f"{name}.jsonl"
    try:
        _concatenate([rows for rows, _ in parts], folder / f"{name}.jsonl")
        if any(path.stat().st_size for _, path in parts if path.exists()):
            rejected.parent.mkdir(exist_ok=True)
            _concatenate([path for _, path in parts], rejected)
        else:
            rejected.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot write {folder / name}.jsonl: {error.strerror}: free some space and run the "
            "same command again, it goes on where it stopped"
        ) from None


def read_items(path: Path) -> Iterator[Any]:
    """The JSON values of a stage file, one at a time."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def write_items(path: Path, items: Iterable[Any]) -> None:
    """Write items as JSON lines, replacing the file as a whole."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            for item in items:
                file.write(as_line(item))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from None


class Ballast:
    """A file that holds disk space for the answers on the wire, given back when the disk
    is full."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ballast"
        try:
            with self._path.open("wb") as file:
                # Real bytes: a hole would hold no space.
                file.write(bytes(BALLAST_BYTES))
        except OSError:
            self._path.unlink(missing_ok=True)

    def drop(self) -> bool:
        """Give the space back; whether there was any to give."""
        try:
            size = self._path.stat().st_size
            self._path.unlink()
        except OSError:
            return False
        return size > 0


def _concatenate(parts: list[Path], out: Path) -> None:
    temporary = out.with_name(out.name + ".tmp")
    with temporary.open("wb") as target:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, target, 2**20)
        target.flush()
        os.fsync(target.fileno())
    os.replace(temporary, out)


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomic(path, data)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from None


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        flat.update(_flat(inner, f"{prefix}.{name}" if prefix else name))
    return flat


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."


def _free(folder: Path) -> Path:
    numbers = iter(range(2, 1000))
    return next(
        p for p in (folder.with_name(f"{folder.name}-{n}") for n in numbers) if not p.exists()
    )
