"""RUN/report.html: one page that needs nothing else, not even scripts.

Everything from the run is hostile: ``markup`` escapes it, and a Content-Security-Policy lets the
page load and run nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from datagen.report import content, process, reading
from datagen.report.facts import Facts, gather
from datagen.report.markup import Html, clip, join, tag
from datagen.report.numbers import count, dollars, duration, percent, plural, short
from datagen.rows_io import write_text

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
SECTIONS: tuple[tuple[str, str, Callable[[Facts], Html]], ...] = (
    ("rows", "Rows to read", reading.rows),
    ("stages", "Stages", process.stages),
    ("rejections", "Rejections", process.rejections),
    ("skills", "Skills and query types", content.skills),
    ("lengths", "Lengths", content.lengths),
    ("diversity", "Diversity", content.diversity),
    ("filters", "Filters", process.filters),
    ("faults", "Faults survived", process.faults),
    ("settings", "Settings", process.settings),
)


def write_report(run: Path) -> Path:
    """Write RUN/report.html from what the run folder holds, whole run or not.

    Raises:
        ConfigError: ``run`` is no run folder.
        RunError: it cannot be written.
    """
    path = run / "report.html"
    write_text(path, page(gather(run)))
    return path


def page(facts: Facts) -> str:
    """The whole page."""
    made = [(name, title, make(facts)) for name, title, make in SECTIONS]
    there = [each for each in made if each[2]]
    style = Html(Path(__file__).with_name("page.css").read_text(encoding="utf-8"))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{clip(facts.name, 80)} \u00b7 datagen report"),
        tag("style", style),
    )
    main = tag("main", *(_section(*each) for each in there))
    footer = tag("footer", "Written by datagen report. This page loads nothing and runs no script.")
    body = tag("body", _header(facts, [(name, title) for name, title, _ in there]), main, footer)
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def state_in_words(facts: Facts) -> str:
    """One or two sentences: is the run whole, and how many of its rows are there."""
    planned, rows = facts.metrics.planned_rows, facts.rows.rows
    made = next((s.kept for s in facts.metrics.stages if s.name.endswith("_rows")), rows)
    if facts.state == "unfinished":
        so_far = f"{made:,} of {planned:,} rows so far" if planned else f"{plural(rows, 'row')} so far"
        return f"Unfinished: {so_far}. The same command goes on where it stopped."
    dropped = sum(each.dropped for each in facts.metrics.filters if each.applied)
    filtered = f" Filters then dropped {dropped:,}." if dropped else ""
    if facts.state == "partial":
        return f"Partial: {made:,} of {planned:,} planned rows were made, the others were rejected.{filtered}"
    if not planned:
        return f"Complete: {plural(rows, 'row')}."
    return f"Complete: all {planned:,} planned rows were made.{filtered}"


def _header(facts: Facts, sections: list[tuple[str, str]]) -> Html:
    done = facts.metrics
    parts = [tag("b", clip(done.model, 120)) if done.model else "", _seed(facts)]
    if done.engine:
        parts.insert(1, f"{clip(done.engine, 40)} engine")
    about = [part for part in parts if part]
    spaced = [piece for part in about for piece in (" \u00b7 ", part)][1:]
    notes = tag("div", *(tag("p", note) for note in facts.notes), class_="notes", role="note")
    links = (tag("a", title, href=f"#{name}") for name, title in sections)
    return tag(
        "header",
        tag("p", f"datagen report \u00b7 {clip(done.generator or 'run', 60)}", class_="eyebrow"),
        tag("h1", clip(facts.name, 120)),
        tag("p", *spaced, class_="about") if spaced else "",
        tag("p", state_in_words(facts), class_=f"lead {facts.state}"),
        notes if facts.notes else "",
        _tiles(facts),
        tag("nav", *links, aria_label="Sections"),
    )


def _seed(facts: Facts) -> str:
    run = facts.config.get("run")
    seed = run.get("seed") if isinstance(run, dict) else None
    return f"seed {seed}" if isinstance(seed, int) else ""


def _tiles(facts: Facts) -> Html:
    done = facts.metrics
    refused = sum(r.count for reasons in facts.rejected.values() for r in reasons)
    planned = sum(stage.planned for stage in done.stages)
    tiles = [
        ("Rows", count(facts.rows.rows),
         f"and {facts.heldout:,} held out" if facts.heldout else "in the training set"),
        ("Rejected", count(refused), f"{percent(refused, planned)} of all positions" if planned else ""),
    ]  # fmt: skip
    if done.stages:
        survived = sum(done.faults.values())
        tiles += [
            ("Requests", count(done.requests),
             f"{plural(survived, 'fault')} survived" if survived else "no fault met"),
            ("Tokens", short(done.prompt_tokens + done.completion_tokens),
             f"{short(done.prompt_tokens)} in, {short(done.completion_tokens)} out"),
            ("Cost", dollars(done.cost) if done.cost is not None else "\u2013",
             "at the prices used" if done.cost is not None else "no price known"),
            ("Time", duration(done.seconds), f"in {plural(done.sessions, 'session')}"),
        ]  # fmt: skip
    return tag(
        "dl",
        *(
            tag("div", tag("dt", name), tag("dd", value), tag("dd", more, class_="more"))
            for name, value, more in tiles
        ),
        class_="tiles",
    )


def _section(name: str, title: str, body: Html) -> Html:
    return tag("section", tag("h2", title), join(body), id=name)
