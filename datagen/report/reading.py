"""Twenty rows to read, drawn by a fixed seed: the same run shows the same rows."""

from __future__ import annotations

import shlex

from datagen.report.facts import Facts
from datagen.report.figures import count, plural
from datagen.report.files import as_text
from datagen.report.markup import Html, clip, join, tag
from datagen.report.scan import LONGEST, Shown, names

_OPEN = 1
"""Rows that are open when the page is."""
_ID = 8
"""Characters of an id that ``datagen trace`` is given."""


def rows(facts: Facts) -> Html:
    """The drawn rows, in the dataset's order."""
    shown = facts.rows.shown.items()
    if not shown:
        return Html("")
    some = "All" if len(shown) == facts.rows.rows else "Drawn by a fixed seed from"
    lead = f"{some} {count(facts.rows.rows)} rows, in their order. Open a row to read it."
    return join(
        tag("p", lead),
        *(_row(row, facts.folder, number < _OPEN) for number, row in enumerate(shown)),
    )


def _row(row: Shown, folder: str, is_open: bool) -> Html:
    asked = next((text for role, text in row.messages if role == "user"), "")
    preview = " ".join(asked[:400].split())
    preview = preview if len(preview) <= 150 else f"{preview[:150].rsplit(' ', 1)[0]} \u2026"
    summary = tag(
        "span",
        tag("span", preview or "(empty)", class_="preview", dir="auto"),
        tag("span", tag("bdi", _about(row)), class_="meta"),
        class_="first",
    )
    turns = [_turn(role, text) for role, text in row.messages]
    return tag(
        "details",
        tag("summary", summary),
        tag("div", *turns, _trace(row, folder), class_="fold inside"),
        class_="row",
        open=is_open,
    )


def _about(row: Shown) -> str:
    """Query type and skills, or what else is known."""
    kind = as_text(row.facts.get("query_type"))
    skills = names(row.facts.get("skills"))
    known = [clip(kind, 80), " + ".join(clip(name, 80) for name in skills[:8])]
    known += [f"{len(skills) - 8} more skills"] if len(skills) > 8 else []
    return " \u00b7 ".join(part for part in known if part) or clip(row.id, 40)


def _turn(role: str, text: str) -> Html:
    return tag(
        "div",
        tag("div", clip(role, 20), class_="role"),
        tag("div", clip(text, LONGEST), class_="text", dir="auto"),
        class_="turn",
    )


def _trace(row: Shown, folder: str) -> Html:
    command = f"datagen trace {shlex.quote(folder)} {shlex.quote(row.id[:_ID])}"
    position = as_text(row.facts.get("position"))[:20]
    place = f"position {position} \u00b7 " if position else ""
    tries = row.facts.get("attempt")
    again = f"made in {plural(tries, 'conversation')} \u00b7 " if isinstance(tries, int) else ""
    return tag("p", f"{place}{again}where it comes from: ", tag("code", command), class_="facts")
