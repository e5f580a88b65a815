"""Command-line options made from the fields of settings: one place for names, defaults and help."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

Tables = dict[str, dict[str, Any]]


def with_options(
    sections: Mapping[str, type[BaseModel]], panels: Mapping[str, str]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option for each field of ``sections``.

    The command is called with ``tables``, the values that were given on the command line by
    section, and with its own parameters. An option that was not given is absent, so that a file's
    value or the default stands.
    """
    owner = {field: name for name, kind in sections.items() for field in kind.model_fields}
    if len(owner) < sum(len(kind.model_fields) for kind in sections.values()):
        raise TypeError("two sections share a field name")

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        parameters = inspect.signature(command, eval_str=True).parameters.values()
        own = [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for each in parameters
            if each.name != "tables"
        ]

        def call(**given: Any) -> None:
            tables: Tables = {name: {} for name in sections}
            for field, name in owner.items():
                value = given.pop(field)
                if value is not None and value != []:
                    tables[name][field] = value
            command(tables=tables, **given)

        made = [
            _parameter(field, info, panels[name])
            for name, kind in sections.items()
            for field, info in kind.model_fields.items()
        ]
        call.__signature__ = inspect.Signature([*made, *own])  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in (*made, *own)}
        call.__doc__, call.__name__ = command.__doc__, command.__name__
        return call

    return decorate


def _parameter(name: str, info: FieldInfo, panel: str) -> inspect.Parameter:
    kind = _option_type(info.annotation)
    default = info.default
    shown = None if default in (None, (), False) or default is ... else str(default)
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        help=_help(info, shown),
        rich_help_panel=panel,
        show_default=False,
        metavar=_metavar(info.annotation),
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=typing.Annotated[kind, option],
    )


def _option_type(annotation: Any) -> Any:
    """``int`` for ``int | None`` and for literals of numbers; a list for tuples; text for what
    pydantic checks."""
    inner = _inner(annotation)
    if typing.get_origin(inner) is tuple:
        return list[str] | None
    if typing.get_origin(inner) is Literal:
        return type(typing.get_args(inner)[0]) | None
    return inner | None


def _inner(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return next(each for each in typing.get_args(annotation) if each is not type(None))
    return annotation


def _metavar(annotation: Any) -> str | None:
    inner = _inner(annotation)
    if typing.get_origin(inner) is Literal:
        return "|".join(str(each) for each in typing.get_args(inner))
    if typing.get_origin(inner) is tuple:
        return "TEXT"
    return {int: "N", float: "X", str: "TEXT", Path: "PATH"}.get(inner)


def _help(info: FieldInfo, shown: str | None) -> str:
    text = " ".join((info.description or "").split())
    return f"{text} [default: {shown}]" if shown is not None else text
