"""RUN/report.html: one page that needs nothing else, not even scripts.

Everything from the run is hostile: ``markup`` escapes it, and a Content-Security-Policy lets the
page load and run nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from datagen.report import content, process, reading, variety
from datagen.report.facts import Facts, gather
from datagen.report.header import header
from datagen.report.markup import Html, clip, join, tag
from datagen.rows_io import write_text

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
SECTIONS: tuple[tuple[str, str, Callable[[Facts], Html]], ...] = (
    ("stages", "Stages", process.stages),
    ("rejections", "Rejections", process.rejections),
    ("faults", "Faults survived", process.faults),
    ("skills", "Skills and query types", content.skills),
    ("lengths", "Lengths", content.lengths),
    ("diversity", "Diversity", variety.diversity),
    ("filters", "Filters", process.filters),
    ("rows", "Rows to read", reading.rows),
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
    body = tag("body", header(facts, [(name, title) for name, title, _ in there]), main, footer)
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _section(name: str, title: str, body: Html) -> Html:
    return tag("section", tag("h2", title), join(body), id=name)
