"""What a skillmix job would ask, in requests, tokens and dollars, before anything is asked
(``--dry-run``)."""

from __future__ import annotations

from typing import Any

from datagen.generators.exchange import TURNS
from datagen.llm.prices import price_of
from datagen.pipeline import Job
from datagen.run.budget import CHARS_PER_TOKEN
from datagen.templates import load

RESPONSE_TOKENS, INSTRUCTION_TOKENS, CRITIQUE_TOKENS = 414, 69, 300
"""Means of the paper's released rows in cl100k tokens; the critique's length is an assumption."""
NAME_TOKENS_EACH = 8
WRITES = {
    "opening": INSTRUCTION_TOKENS + RESPONSE_TOKENS,
    "rewrite": RESPONSE_TOKENS,
    "critique": CRITIQUE_TOKENS,
    "refine": INSTRUCTION_TOKENS + RESPONSE_TOKENS,
}


def estimate(job: Job) -> dict[str, Any]:
    """Requests, tokens and dollars a stage; retries are not reckoned.

    Returns:
        ``{"stages": [{"name", "requests", "prompt_tokens", "completion_tokens", "cost"}],
        ...totals}``; cost is None where the model's price is not known.
    """
    price = price_of(job.model)
    stages = [_names(job), _rows(job)]
    for stage in stages:
        stage["cost"] = (
            price.of(stage["prompt_tokens"], stage["completion_tokens"]) if price else None
        )
    total = {
        key: sum(stage[key] for stage in stages)
        for key in ("requests", "prompt_tokens", "completion_tokens")
    }
    cost = price.of(total["prompt_tokens"], total["completion_tokens"]) if price else None
    return {
        "model": job.model.model,
        "engine": job.model.resolved_engine(),
        "n": job.skillmix.n,
        "stages": stages,
        **total,
        "cost": cost,
    }


def _names(job: Job) -> dict[str, Any]:
    """Topics, skills and query types; a topic is reckoned at dry_rounds + 1 calls."""
    config = job.skillmix
    topics = (
        0 if config.skills is not None or config.from_dataset is not None else config.topic_count
    )
    calls = topics * min(config.skill_rounds, config.dry_rounds + 1)
    asked = calls + (topics > 0 and config.topics is None) + (config.query_types is None)
    written = calls * config.skills_per_topic * NAME_TOKENS_EACH + config.query_type_count * 80
    if config.from_dataset is not None:
        asked, written = (
            asked + 2 * config.from_rows,
            written + 2 * config.from_rows * NAME_TOKENS_EACH,
        )
    return {
        "name": "names",
        "requests": int(asked),
        "prompt_tokens": int(asked * 400),
        "completion_tokens": int(written),
    }


def _rows(job: Job) -> dict[str, Any]:
    """The conversations: every turn sends the whole history again."""
    config, rows = job.skillmix, job.skillmix.n + job.skillmix.heldout
    history, prompt, completion = 0.0, 0.0, 0.0
    for name in TURNS[config.turns]:
        history += len(load("skillmix", name, config.prompts).text) / CHARS_PER_TOKEN
        prompt += history
        completion += WRITES[name]
        history += WRITES[name]
    return {
        "name": "rows",
        "requests": rows * len(TURNS[config.turns]),
        "prompt_tokens": int(rows * prompt),
        "completion_tokens": int(rows * completion),
    }


def as_text(numbers: dict[str, Any]) -> str:
    """The estimate for a person."""
    lines = [
        f"{numbers['n']} rows from {numbers['model'] or 'the embedded model'} would take about:"
    ]
    for stage in (*numbers["stages"], {**numbers, "name": "together"}):
        cost = "price not known" if stage["cost"] is None else f"${stage['cost']:,.2f}"
        lines.append(
            f"  {stage['name']:<9}{stage['requests']:>9,} requests"
            f" {stage['prompt_tokens']:>13,} prompt and"
            f" {stage['completion_tokens']:>12,} completion tokens   {cost}"
        )
    lines.append(
        "Nothing was asked. Lengths are those of the paper's data; retries are not reckoned."
    )
    return "\n".join(lines)
