"""The diversity section: distinct-n, openings, nearest neighbours, beside the released data."""

from __future__ import annotations

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
    references = list(released.SCORES["instruction"]) if facts.skillmix else []
    head = [f"This run, {sample.used:,} rows" for sample in samples]
    head += [f"Released, {size:,} rows" for size in references]
    titles = (tag("th", text, class_="number", scope="col") for text in head)
    body = [line for part in PARTS for line in _lines(facts, part, references)]
    grid = tag("table", tag("thead", tag("tr", tag("td"), *titles)), tag("tbody", *body))
    plots = (_nearest_plot(part, facts.diversity[part][0]) for part in PARTS)
    return join(
        tag("p", _lead(facts, samples[0], bool(references))),
        tag("div", grid, class_="scroll", tabindex="0"),
        tag("div", *plots, class_="pair"),
    )


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


def _lines(facts: Facts, part: str, references: Sequence[int]) -> list[Html]:
    """The table's lines for instructions or for responses."""
    ours = [column(sample) for sample in facts.diversity[part]]
    theirs = [released.SCORES[part][size] for size in references]
    wide = 1 + len(ours) + len(theirs)
    title = tag("th", f"{part.capitalize()}s", colspan=wide, scope="rowgroup")
    lines = [tag("tr", title, class_="group")]
    for name in ours[0]:
        cells = [_figure(name, figures, "number") for figures in ours]
        cells += [_figure(name, figures, "number reference") for figures in theirs]
        lines.append(tag("tr", tag("th", _label(name), scope="row"), *cells))
    return lines


def _label(name: str) -> str:
    measure, _, statistic = name.partition(" ")
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
