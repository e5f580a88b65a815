"""Prompts as files: ``prompts/<generator>/<name>.md`` with ``{{variables}}``, known by
their hash."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from datagen.errors import ConfigError
from datagen.rows import Message, content_hash
from datagen.shipped import shipped

_TURN = re.compile(r"^@(user|assistant)\n", re.M)
_VARIABLE = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt's text; ``hash`` (12 hex digits of the unfilled text) goes into each row's
    provenance."""

    name: str
    text: str
    hash: str

    def fill(self, **values: str) -> str:
        """The text with every variable replaced; values are inserted as they are, never filled
        again.

        Raises:
            ConfigError: a variable of the template has no value.
        """
        missing = [name for name in _VARIABLE.findall(self.text) if name not in values]
        if missing:
            raise ConfigError(
                f"prompt {self.name}: no value for {{{{{missing[0]}}}}}; it may use "
                + ", ".join(f"{{{{{name}}}}}" for name in sorted(values))
            )
        return _VARIABLE.sub(lambda match: values[match[1]], self.text)

    def messages(self, **values: str) -> list[Message]:
        """The text as a conversation: one user turn, unless ``@user`` and the like part it.

        Examples given as turns of their own are what small models follow best.
        """
        parts = _TURN.split("@user\n" + self.text)[1:]
        roles: list[Literal["user", "assistant"]] = [
            "user" if role == "user" else "assistant" for role in parts[::2]
        ]
        texts = [replace(self, text=part.strip()).fill(**values) for part in parts[1::2]]
        return [{"role": r, "content": t} for r, t in zip(roles, texts, strict=True)]


def load(generator: str, name: str, folder: Path | None = None) -> Template:
    """The template ``name`` of a generator, from the user's ``folder`` if it has it, else the
    shipped one.

    Raises:
        ConfigError: no such file, or not UTF-8.
    """
    own = folder / f"{name}.md" if folder is not None else None
    path = (
        own if own is not None and own.exists() else shipped("prompts") / generator / f"{name}.md"
    )
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"prompt {path}: {error}") from None
    return Template(f"{generator}/{name}", text, content_hash(text, size=6))
