"""Settings: pydantic sections from TOML files, flags and ``--set``, checked with the nearest name
on a slip."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datagen.errors import ConfigError
from datagen.llm import ModelConfig
from datagen.run.config import RunConfig

Section = TypeVar("Section", bound=BaseModel)


class FilterConfig(BaseModel):
    """What is done to the rows after they are made."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    dedup: str = Field("off", pattern="^(off|exact|rouge_l|embedding)$")
    """Drop rows whose instruction nearly repeats an earlier one: off, exact, rouge_l or embedding.
    """
    dedup_threshold: float | None = Field(None, gt=0, le=1)
    """Similarity from which an instruction counts as repeated; default 0.7 (rouge_l), 0.9
    (embedding)."""


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ConfigError: missing, not UTF-8, or not TOML; with the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None


def section(kind: type[Section], values: Mapping[str, Any], where: str) -> Section:
    """One checked section.

    Args:
        values: field names to values.
        where: what to call the place in an error, such as ``pipelines/x.toml [skillmix]``.

    Raises:
        ConfigError: one line with the place, the field, what is wrong and, for a slip, the nearest
            name.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{where}: {_first(error, kind)}") from None


def tables(values: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Check the names of a file's tables.

    Raises:
        ConfigError: an unknown one, with the nearest name.
    """
    for name in values:
        if name not in known:
            raise ConfigError(f"{where}: there is no [{name}]{_nearest(name, known)}")


def assign(settings: dict[str, dict[str, Any]], assignments: Iterable[str]) -> None:
    """Apply ``--set table.field=value``; the value is read as TOML, else taken as text.

    Raises:
        ConfigError: not of that form, or no such table.
    """
    for text in assignments:
        name, equals, value = text.partition("=")
        table, dot, field = name.strip().partition(".")
        if not (equals and dot and field):
            raise ConfigError(
                f"--set {text!r}: write --set table.field=value, such as --set skillmix.k=3"
            )
        if table not in settings:
            raise ConfigError(
                f"--set {text!r}: there is no table {table!r}{_nearest(table, settings)}"
            )
        try:
            settings[table][field] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            settings[table][field] = value


def _first(error: ValidationError, kind: type[BaseModel]) -> str:
    problem = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"there is no setting {field!r}{_nearest(field, kind.model_fields)}"
    return f"{field} = {problem['input']!r}: {problem['msg'].lower()}" if field else problem["msg"]


def _nearest(name: str, known: Iterable[str]) -> str:
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f": did you mean {near[0]!r}?" if near else f": there are {', '.join(choices)}"


__all__ = ["FilterConfig", "ModelConfig", "RunConfig", "assign", "read_toml", "section", "tables"]
