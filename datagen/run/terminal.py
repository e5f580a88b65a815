"""Text of models and files as a terminal may print it."""

from __future__ import annotations

import json
import re
from typing import Any

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x9d\x98\x9e\x9f])[^\x07\x1b\x9c]{0,2000}(?:\x07|\x1b\\|\x9c)?"  # OSC
    r"|\x1b[ -/]*[0-~]?"
)
_LINE_ENDS = re.compile(r"\r\n|[\r\u2028\u2029\x85\x0b\x0c]")
# Controls, and the marks that turn the direction of what follows them.
_UNSEEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(value: Any) -> str:
    """A value on one line of a terminal: no escape sequences, no control characters."""
    return " ".join(visible(value).split())


def visible(value: Any) -> str:
    """A value as text that a terminal shows and does not obey; line breaks and tabs stay."""
    if not isinstance(value, str):
        value = "-" if value is None else json.dumps(value, ensure_ascii=False)
    text = _UNSEEN.sub("", _LINE_ENDS.sub("\n", _ESCAPES.sub("", value)))
    return text.encode("utf-8", "replace").decode()
