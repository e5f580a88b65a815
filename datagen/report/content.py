"""What the rows hold: coverage, lengths and diversity, each a section of the page."""

from __future__ import annotations

from collections.abc import Callable

from datagen.evals.diversity import Diversity, Lengths
from datagen.report import released
from datagen.report.facts import PARTS, Facts
from datagen.report.markup import Html, join, tag
from datagen.report.numbers import count, percent
from datagen.report.plots import Mark, bar_table, bins, histogram, shares
from datagen.report.process import table

_DASH = "\u2013"
_MEASURES = {"rouge_l": "ROUGE-L F", "tfidf": "TF-IDF cosine", "embedding": "Embedding cosine"}


def skills(facts: Facts) -> Html:
    """Skills, their combinations, query types and topics among the rows."""
    found = facts.coverage
    parts = []
    if found:
        rows = [
            ("Skills in the inventory", count(found.skills), ""),
            ("Skills used by a row", count(found.used), f"{found.expected_used:,.1f}"),
            (
                f"Different combinations of {found.k}",
                count(found.combinations),
                f"{found.expected_combinations:,.1f}",
            ),
            ("Rows a skill, on average", f"{found.rows * found.k / found.skills:,.1f}", ""),
        ]
        if found.unknown:
            rows.append(("Skills outside the inventory", count(found.unknown), ""))
        lead = (
            f"What uniform random draws of {found.k} of {found.skills:,} skills for "
            f"{found.rows:,} rows would give stands beside."
        )
        head = ("", "This run", "Expected")
        uses = histogram(bins(found.uses), "Skills by how often they are used", "rows a skill")
        parts = [
            tag("p", lead),
            tag("div", table(head, rows), uses, class_="pair"),
        ]
    lists = [_kinds(facts), _topics(facts)]
    return join(*parts, tag("div", *lists, class_="pair") if any(lists) else "")


def lengths(facts: Facts) -> Html:
    """Words of instructions and responses."""
    if not facts.rows.rows:
        return Html("")
    counts = (facts.rows.instruction_words, facts.rows.response_words)
    plots = [_length_plot(part, facts.words[part], bins(c)) for part, c in zip(PARTS, counts, strict=True)]
    head = ("Words", "Mean", "Median", "p5", "p95", "Longest")
    rows = []
    for part in PARTS:
        rows.append((f"{part.capitalize()}s", *_length_cells(facts.words[part])))
        if facts.skillmix:
            for size, figures in released.WORDS[part].items():
                rows.append((_reference(size), *(tag("span", c, class_="reference")
                                                 for c in _length_cells(figures))))  # fmt: skip
    return join(
        tag("div", *plots, class_="pair"),
        table(head, rows, class_="stack"),
    )


def diversity(facts: Facts) -> Html:
    """Distinct-n, openings and nearest neighbours, beside the released data's."""
    samples = facts.diversity["instruction"]
    if not samples or samples[0].used < 2:
        return Html("")
    sizes = [sample.used for sample in samples]
    head = ["", *(f"This run, {size:,} rows" for size in sizes)]
    references = list(released.SCORES["instruction"]) if facts.skillmix else []
    head += [f"Released, {size:,} rows" for size in references]
    body = [line for part in PARTS for line in _part(facts, part, references, len(head))]
    titles = (tag("th", text, class_="number" if text else None, scope="col") for text in head)
    drawn = f"Measured on {count(sizes[0])} rows"
    drawn += f" drawn from {count(facts.rows.rows)}. " if sizes[0] < facts.rows.rows else ". "
    lead = drawn + (
        "Distinct-n is the share of n-grams that differ; it falls as rows are added, so compare "
        "columns of about equal size. Openings are first three words. Nearest compares "
        f"{samples[0].nearest['rouge_l'].texts:,} rows with each other: the similarity of each to "
        "the one most like it, from 0 to 1."
    )
    if references:
        lead += " Released is the paper's own data, written by GPT-4 Turbo."
    plots = [
        _nearest_plot(part, facts.diversity[part][0]) for part in PARTS if facts.diversity[part]
    ]
    grid = tag("table", tag("thead", tag("tr", *titles)), tag("tbody", *body))
    return join(tag("p", lead), tag("div", grid, class_="scroll", tabindex="0"),
                tag("div", *plots, class_="pair"))  # fmt: skip


def _kinds(facts: Facts) -> Html:
    kinds = facts.query_types
    if not kinds:
        return Html("")
    even = sum(kinds.values()) / len(kinds)
    note = f"The line is an even share, {even:,.1f} rows."
    return tag("div", tag("h3", f"Query types ({len(kinds):,})"),
               bar_table(kinds, "Query type", "Rows", even=even), tag("p", note, class_="note"))  # fmt: skip


def _topics(facts: Facts) -> Html:
    topics = facts.rows.topics
    if not topics:
        return Html("")
    most = dict(sorted(topics.items(), key=lambda each: (-each[1], each[0])))
    note = "Rows of which at least one skill came from the topic."
    return tag("div", tag("h3", f"Topics ({len(topics):,})"),
               bar_table(most, "Topic", "Rows", most=16), tag("p", note, class_="note"))  # fmt: skip


def _length_plot(part: str, found: Lengths, bars: list) -> Html:  # type: ignore[type-arg]
    caption = f"Words in {'an instruction' if part == 'instruction' else 'a response'}"
    marks = [Mark(found.median, f"median {found.median:,.0f}")]
    return histogram(bars, caption, "words", marks, (found.p5, found.p95))


def _length_cells(found: Lengths) -> tuple[str, ...]:
    return (
        f"{found.mean:,.1f}",
        f"{found.median:,.0f}",
        count(found.p5),
        count(found.p95),
        count(found.max),
    )


def _reference(size: int) -> Html:
    return tag("span", f"released, {size:,} rows", class_="reference")


def _part(facts: Facts, part: str, references: list[int], columns: int) -> list[Html]:
    """The table's lines for instructions or for responses."""
    samples = facts.diversity[part]
    known = [released.SCORES[part][size] for size in references]
    lines: list[tuple[str, str, Callable[[Diversity], float]]] = [
        (f"Distinct-{n}", f"distinct-{n}", lambda d, n=n: d.distinct[n - 1]) for n in (1, 2, 3)  # type: ignore[misc]
    ]
    lines.append(("Different openings", "openings", lambda d: d.openings))
    body = [tag("tr", tag("th", f"{part.capitalize()}s", colspan=columns, scope="rowgroup"), class_="group")]
    for label, key, value in lines:
        as_share = key == "openings"
        cells = [_figure(value(sample), as_share) for sample in samples]
        cells += [_figure(figures.get(key), as_share, "number reference") for figures in known]
        body.append(tag("tr", tag("th", label, scope="row"), *cells))
    for measure in samples[0].nearest:
        for name in ("median", "p95", "max"):
            key = f"{measure} {name}"
            cells = [_figure(float(sample.nearest[measure].model_dump()[name])) for sample in samples]
            cells += [_figure(figures.get(key), False, "number reference") for figures in known]
            body.append(tag("tr", tag("th", f"Nearest, {_MEASURES[measure]}, {name}", scope="row"), *cells))
    return body


def _figure(value: float | None, as_share: bool = False, kind: str = "number") -> Html:
    if value is None:
        return tag("td", _DASH, class_=kind)
    return tag("td", percent(value, 1) if as_share else f"{value:.3f}", class_=kind)


def _nearest_plot(part: str, found: Diversity) -> Html:
    near = found.nearest["rouge_l"]
    marks = [Mark(near.median, f"median {near.median:.2f}")]
    return histogram(
        shares(near.histogram),
        f"{part.capitalize()}s: ROUGE-L F to the nearest other",
        f"similarity, {near.texts:,} rows",
        marks,
    )
