"""What is written to disk: rows, their provenance, and what was rejected.

A row is one flat JSON object that every reader opens (datasets, pandas, polars, TRL, ...). Its
columns never vary within a file, and nested free-form data is one JSON *string*: readers merge the
keys of nested objects across rows and fill the gaps with nulls.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict


class Message(TypedDict):
    """One turn of a conversation, as chat endpoints and chat templates take it."""

    role: Literal["system", "user", "assistant"]
    content: str


class Row(BaseModel):
    """One training example: the completion is what a model learns to write after the prompt."""

    model_config = ConfigDict(frozen=True)

    id: str
    prompt: list[Message]
    completion: list[Message]
    provenance: str
    """A JSON object: generator, plan position, model, prompt hashes, journal keys of the answers
    used."""


class Rejected(BaseModel):
    """An item that did not become a row: why, and the raw text that was refused."""

    model_config = ConfigDict(frozen=True)

    reason: str
    """A short stable name that reports count by, such as ``too_short`` or ``server_refused``."""
    detail: str = ""
    """The particular case in words: the server's message, the matched partner, the measured length.
    """
    text: str = ""
    """The raw answer."""


# Made once: json.dumps builds an encoder anew for any but its default arguments.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_COMPACT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, unicode kept."""
    return _CANONICAL(value)


def compact(value: Any) -> bytes:
    """A value as one line of UTF-8 JSON: keys in their own order, no spaces, unicode kept."""
    return _COMPACT(value).encode()


def content_hash(*parts: Any, size: int = 16) -> str:
    """Hex digest of ``size`` bytes of the canonical JSON of ``parts``; lone surrogates
    are allowed."""
    return hashlib.blake2b(
        canonical(parts).encode("utf-8", "surrogatepass"), digest_size=size
    ).hexdigest()


def make_row(prompt: list[Message], completion: list[Message], provenance: dict[str, Any]) -> Row:
    """A row whose id is the hash of its content and of its place in the run's plan.

    The place is part of it so that two plan positions with the same text are still two rows.
    """
    place = [provenance.get("generator"), provenance.get("split"), provenance.get("position")]
    return Row(
        id=content_hash(prompt, completion, place),
        prompt=prompt,
        completion=completion,
        provenance=canonical(provenance),
    )
