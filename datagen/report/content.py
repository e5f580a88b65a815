"""What the rows hold: skills, query types and topics, and lengths; each a section of the page."""

from __future__ import annotations

from datagen.evals.diversity import Lengths
from datagen.report import released
from datagen.report.coverage import Coverage
from datagen.report.facts import PARTS, Facts
from datagen.report.figures import count
from datagen.report.markup import Html, join, tag
from datagen.report.plots import Mark, bar_table, bins, histogram
from datagen.report.process import table


def skills(facts: Facts) -> Html:
    """Skills, their combinations, query types and topics among the rows."""
    parts = _coverage(facts.coverage) if facts.coverage else []
    lists = [part for part in (_kinds(facts), _topics(facts)) if part]
    return join(*parts, tag("div", *lists, class_="pair") if lists else "")


def lengths(facts: Facts) -> Html:
    """Words of instructions and responses."""
    if not facts.rows.rows:
        return Html("")
    counts = {"instruction": facts.rows.instruction_words, "response": facts.rows.response_words}
    plots = []
    for part in PARTS:
        found = facts.words[part]
        marks = [Mark(found.median, f"median {found.median:,.0f}")]
        caption = f"Words of the {part}s"
        plots.append(histogram(bins(counts[part]), caption, "words", marks, (found.p5, found.p95)))
    head = ("Words", "Mean", "Median", "p5", "p95", "Longest")
    rows = [line for part in PARTS for line in _lengths(facts, part)]
    note = "The pale band holds nine rows of ten, from p5 to p95."
    return join(
        tag("div", *plots, class_="pair"),
        tag("p", note, class_="note"),
        table(head, rows, class_="stack five"),
    )


def _coverage(found: Coverage) -> list[Html]:
    each = found.rows * found.k / found.skills
    rows = [
        ("Skills in the inventory", count(found.skills), ""),
        ("Skills used by a row", count(found.used), f"{found.expected_used:,.1f}"),
        (
            f"Different combinations of {found.k}" if found.k > 1 else "Different choices",
            count(found.combinations),
            f"{found.expected_combinations:,.1f}",
        ),
        ("Rows a skill, on average", f"{each:,.1f}", ""),
    ]
    if found.unknown:
        rows.append(("Skills outside the inventory", count(found.unknown), ""))
    lead = (
        f"{found.rows:,} rows with {found.k} of {found.skills:,} skills each. Expected is what "
        "uniform random draws give."
    )
    uses = histogram(bins(found.uses), "Skills by the number of rows that use them", "rows a skill")
    figures = table(("", "This run", "Expected"), rows)
    return [tag("p", lead), tag("div", figures, uses, class_="pair")]


def _kinds(facts: Facts) -> Html:
    kinds = facts.query_types
    if not kinds:
        return Html("")
    even = sum(kinds.values()) / len(kinds)
    return tag(
        "div",
        tag("h3", f"Query types ({len(kinds):,})"),
        bar_table(kinds, "Query type", "Rows", even=even),
        tag("p", f"The line is an even share, {even:,.1f} rows.", class_="note"),
    )


def _topics(facts: Facts) -> Html:
    topics = facts.rows.topics
    if not topics:
        return Html("")
    most = dict(sorted(topics.items(), key=lambda each: (-each[1], each[0])))
    return tag(
        "div",
        tag("h3", f"Topics ({len(topics):,})"),
        bar_table(most, "Topic", "Rows", most=16),
        tag("p", "Rows of which at least one skill came from the topic.", class_="note"),
    )


def _lengths(facts: Facts, part: str) -> list[tuple[str, ...]]:
    """The run's line of a part, and the released files' lines."""
    lines: list[tuple[str, ...]] = [(f"{part.capitalize()}s", *_cells(facts.words[part]))]
    if facts.skillmix:
        for size, figures in released.WORDS[part].items():
            cells = (f"released, {size:,} rows", *_cells(figures))
            lines.append(tuple(tag("span", cell, class_="reference") for cell in cells))
    return lines


def _cells(found: Lengths) -> tuple[str, ...]:
    whole = (found.median, found.p5, found.p95, found.max)
    return (f"{found.mean:,.1f}", *map(count, whole))
