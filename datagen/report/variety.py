"""The diversity section: distinct-n, openings, nearest neighbours, beside the released data."""

from __future__ import annotations

import math
from collections.abc import Sequence

from datagen.evals.diversity import Diversity
from datagen.report import released
from datagen.report.facts import PARTS, Facts
from datagen.report.figures import count, percent
from datagen.report.markup import Html, join, tag
from datagen.report.plots import Mark, histogram, shares

Column = dict[str, float]
"""Figures by name, as in ``released.SCORES``."""

_LABELS = {
    "openings": "Different openings",
    "rouge_l": "Nearest, ROUGE-L F",
    "tfidf": "Nearest, TF-IDF cosine",
    "embedding": "Nearest, embedding cosine",
}


def column(sample: Diversity) -> Column:
    """The figures of one sample by name."""
    found = {f"distinct-{n}": share for n, share in enumerate(sample.distinct, 1)}
    found["openings"] = sample.openings
    for measure, near in sample.nearest.items():
        found[f"{measure} median"] = near.median
        found[f"{measure} p95"] = near.p95
        found[f"{measure} max"] = near.max
    return found


def diversity(facts: Facts) -> Html:
    """The section; nothing where there are not two rows to compare."""
    samples = facts.diversity["instruction"]
    if not samples or samples[0].used < 2:
        return Html("")
    order = _order([sample.used for sample in samples], facts.skillmix)
    titles = (tag("th", _title(*each), class_="number", scope="col") for each in order)
    body = [line for part in PARTS for line in _lines(facts, part, order)]
    grid = tag("table", tag("thead", tag("tr", tag("td"), *titles)), tag("tbody", *body))
    plots = (_nearest_plot(part, facts.diversity[part][0]) for part in PARTS)
    return join(
        tag("p", _lead(facts, samples[0], facts.skillmix)),
        tag("div", grid, class_="scroll", tabindex="0"),
        tag("div", *plots, class_="pair"),
    )


def _order(ours: Sequence[int], compare: bool) -> list[tuple[bool, int]]:
    """Columns as (ours, rows): beside each of ours the released one nearest in size."""
    left = list(released.SCORES["instruction"]) if compare else []
    order = []
    for size in ours:
        order.append((True, size))
        if left:
            near = min(left, key=lambda other: abs(math.log(other / size)))
            left.remove(near)
            order.append((False, near))
    return [*order, *((False, size) for size in left)]


def _title(ours: bool, size: int) -> str:
    return f"{'This run' if ours else 'Released'}, {size:,} rows"


def _lead(facts: Facts, sample: Diversity, released_too: bool) -> str:
    drawn = f"Measured on {count(sample.used)} rows"
    if sample.used < facts.rows.rows:
        drawn += f" drawn from {count(facts.rows.rows)}"
    lead = (
        f"{drawn}. Distinct-n is the share of n-grams that differ; it falls as rows are added, so "
        "compare columns of about equal size. Openings are first three words. Nearest compares "
        f"{sample.nearest['rouge_l'].texts:,} rows with each other: the similarity of each to the "
        "one most like it, from 0 to 1."
    )
    if released_too:
        lead += " Released is the paper's own data, written by GPT-4 Turbo."
    return lead


def _lines(facts: Facts, part: str, order: Sequence[tuple[bool, int]]) -> list[Html]:
    """The table's lines for instructions or for responses."""
    ours = {sample.used: column(sample) for sample in facts.diversity[part]}
    columns = [(own, (ours if own else released.SCORES[part])[size]) for own, size in order]
    title = tag("th", f"{part.capitalize()}s", colspan=1 + len(columns), scope="rowgroup")
    lines = [tag("tr", title, class_="group")]
    for name in column(facts.diversity[part][0]):
        cells = [
            _figure(name, figures, "number" if own else "number reference")
            for own, figures in columns
        ]
        lines.append(tag("tr", tag("th", _label(name), scope="row"), *cells))
    return lines


def _label(name: str) -> str:
    measure, _, statistic = name.partition(" ")
    if statistic in ("p95", "max"):
        return tag("span", "95th percentile" if statistic == "p95" else "highest", class_="part")
    label = _LABELS.get(measure, measure.capitalize())
    return f"{label}, {statistic}" if statistic else label


def _figure(name: str, figures: Column, kind: str) -> Html:
    value = figures.get(name)
    if value is None:
        return tag("td", "\u2013", class_=kind)
    return tag("td", percent(value, 1) if name == "openings" else f"{value:.3f}", class_=kind)


def _nearest_plot(part: str, found: Diversity) -> Html:
    near = found.nearest["rouge_l"]
    return histogram(
        shares(near.histogram),
        f"{part.capitalize()}s: ROUGE-L F to the nearest other",
        f"similarity, {near.texts:,} rows",
        [Mark(near.median, f"median {near.median:.2f}")],
    )
