"""The report in a few lines for the terminal, and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datagen.report.facts import PARTS, Facts, gather
from datagen.report.figures import dollars, duration, plural, short
from datagen.report.header import state_in_words
from datagen.run.terminal import plain

_MOST = 4
"""Reasons or kinds named in one line."""


def summary(run: Path) -> str:
    """A few lines for a terminal, without control characters of the model's.

    Raises:
        ConfigError: ``run`` is no run folder.
    """
    facts = gather(run)
    lines = [("state", state_in_words(facts)), *_work(facts), *_data(facts)]
    lines += [("note", note) for note in facts.notes]
    return "\n".join(f"{label:<8}{plain(text)}" for label, text in lines if text)


def summary_json(run: Path) -> dict[str, Any]:
    """The report's numbers as one JSON object.

    Raises:
        ConfigError: ``run`` is no run folder.
    """
    facts = gather(run)
    return {
        "state": facts.state,
        **facts.metrics.model_dump(mode="json"),
        "rows": facts.rows.rows,
        "heldout": facts.heldout,
        "rejections": {
            stage: {r.reason: r.count for r in reasons} for stage, reasons in facts.rejected.items()
        },
        "skills": facts.coverage.model_dump(mode="json") if facts.coverage else None,
        "query_types": facts.query_types,
        "words": {part: facts.words[part].model_dump() for part in PARTS},
        "diversity": {
            part: [sample.model_dump(mode="json") for sample in facts.diversity[part]]
            for part in PARTS
        },
        "notes": list(facts.notes),
    }


def _work(facts: Facts) -> list[tuple[str, str]]:
    done = facts.metrics
    if not done.stages:
        return []
    tokens = f"{short(done.prompt_tokens)} in, {short(done.completion_tokens)} out"
    cost = f", {dollars(done.cost)}" if done.cost is not None else ", cost not known"
    rejected = [
        f"{s}: {_most({r.reason: r.count for r in rs})}" for s, rs in facts.rejected.items()
    ]
    filters = [
        f"{f.name} {'dropped' if f.applied else 'would drop'} {f.dropped:,} of {f.before:,}"
        for f in done.filters
    ]
    return [
        ("model", f"{done.model} ({done.engine})" if done.engine else done.model),
        ("tokens", f"{tokens} in {plural(done.requests, 'request')}{cost}"),
        ("time", f"{duration(done.seconds)} in {plural(done.sessions, 'session')}"),
        ("faults", f"survived {_most(done.faults)}" if done.faults else ""),
        ("reject", "; ".join(rejected)),
        ("filters", "; ".join(filters)),
    ]


def _data(facts: Facts) -> list[tuple[str, str]]:
    if not facts.rows.rows:
        return []
    ask, say = (facts.words[part] for part in PARTS)
    words = (
        f"instruction median {ask.median:,.0f} (p5 {ask.p5:,}, p95 {ask.p95:,}), "
        f"response {say.median:,.0f} ({say.p5:,}, {say.p95:,})"
    )
    return [("words", words), ("skills", _skills(facts)), ("variety", _variety(facts))]


def _skills(facts: Facts) -> str:
    found = facts.coverage
    if found is None:
        return ""
    return (
        f"{found.used:,} of {found.skills:,} used, {found.combinations:,} different "
        f"combinations of {found.k} in {plural(found.rows, 'row')}"
    )


def _variety(facts: Facts) -> str:
    sample = facts.diversity["instruction"][0]
    near = sample.nearest["rouge_l"]
    if sample.used < 2:
        return ""
    return (
        f"instructions: distinct-2 {sample.distinct[1]:.3f} of {sample.used:,}, "
        f"nearest other (ROUGE-L) median {near.median:.2f}, highest {near.max:.2f}"
    )


def _most(counts: dict[str, int]) -> str:
    """The largest counts by name."""
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    left = sum(n for _, n in ordered[_MOST:])
    named = [f"{name} {n:,}" for name, n in ordered[:_MOST]]
    return ", ".join([*named, f"others {left:,}"] if left else named)
