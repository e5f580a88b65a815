"""The page's head: whose run it is, whether it is whole, and its six numbers."""

from __future__ import annotations

from collections.abc import Sequence

from datagen.report.facts import Facts
from datagen.report.figures import count, dollars, duration, percent, plural, short
from datagen.report.markup import Html, clip, tag

Tile = tuple[str, str, str]
"""Name, number, and what to know about it."""


def header(facts: Facts, sections: Sequence[tuple[str, str]]) -> Html:
    """The head, with links to the sections (name, title)."""
    about = _about(facts)
    notes = tag("div", *(tag("p", note) for note in facts.notes), class_="notes", role="note")
    links = (tag("a", title, href=f"#{name}") for name, title in sections)
    kind = clip(facts.metrics.generator or "run", 60)
    return tag(
        "header",
        tag("p", f"datagen report \u00b7 {kind}", class_="eyebrow"),
        tag("h1", tag("bdi", clip(facts.name, 120))),
        tag("p", tag("bdi", about), class_="about") if about else "",
        tag("p", state_in_words(facts), class_=f"lead {facts.state}"),
        notes if facts.notes else "",
        _tiles([*_row_tiles(facts), *_work_tiles(facts)]),
        tag("nav", *links, aria_label="Sections"),
    )


def state_in_words(facts: Facts) -> str:
    """One or two sentences: is the run whole, and how many of its rows are there."""
    planned, rows = facts.metrics.planned_rows, facts.rows.rows
    made = facts.metrics.made_rows or rows
    if facts.state == "unfinished":
        so_far = f"{made:,} of {planned:,} rows" if planned else plural(rows, "row")
        return f"Unfinished: {so_far} so far. The same command goes on where it stopped."
    dropped = sum(each.dropped for each in facts.metrics.filters if each.applied)
    filtered = f" Filters then dropped {dropped:,}." if dropped else ""
    if facts.state == "partial":
        refused = facts.metrics.refused_rows
        were = "was" if refused == 1 else "were"
        return f"Partial: {refused:,} of {planned:,} planned rows {were} rejected.{filtered}"
    if not planned:
        return f"Complete: {plural(rows, 'row')}.{filtered}"
    return f"Complete: all {planned:,} planned rows were made.{filtered}"


def _about(facts: Facts) -> str:
    """Model, engine and seed."""
    done, run = facts.metrics, facts.config.get("run")
    seed = run.get("seed") if isinstance(run, dict) else None
    known = [
        clip(done.model, 120),
        f"{clip(done.engine, 40)} engine" if done.engine else "",
        f"seed {seed}" if isinstance(seed, int) else "",
    ]
    return " \u00b7 ".join(part for part in known if part)


def _row_tiles(facts: Facts) -> list[Tile]:
    stages = facts.metrics.stages
    # What a filter dropped stands in rejected/ too; it is counted with the filters.
    names = {stage.name for stage in stages} or set(facts.rejected)
    refused = sum(r.count for s, reasons in facts.rejected.items() if s in names for r in reasons)
    planned = sum(stage.planned for stage in stages)
    held = "to train on" if facts.whole else "written so far"
    held = f"and {facts.heldout:,} held out" if facts.heldout else held
    share = f"{percent(refused, planned)} of all positions" if planned else ""
    return [("Rows", count(facts.rows.rows), held), ("Rejected", count(refused), share)]


def _work_tiles(facts: Facts) -> list[Tile]:
    done = facts.metrics
    if not done.stages:
        return []
    survived = sum(done.faults.values())
    tokens = f"{short(done.prompt_tokens)} in, {short(done.completion_tokens)} out"
    known = done.cost is not None
    return [
        (
            "Requests",
            count(done.requests),
            f"{plural(survived, 'fault')} survived" if survived else "no fault met",
        ),
        ("Tokens", short(done.prompt_tokens + done.completion_tokens), tokens),
        (
            "Cost",
            dollars(done.cost) if known else "\u2013",
            "by list price" if known else "no price known",
        ),
        ("Time", duration(done.seconds), f"in {plural(done.sessions, 'session')}"),
    ]


def _tiles(tiles: Sequence[Tile]) -> Html:
    shown = (
        tag("div", tag("dt", name), tag("dd", value), tag("dd", more, class_="more"))
        for name, value, more in tiles
    )
    return tag("dl", *shown, class_="tiles")
