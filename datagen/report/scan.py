"""One pass over the rows: counters, and a few rows drawn to be measured and read.

Memory does not grow with the rows, but for eight bytes a row that count different combinations of
skills.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from datagen.evals.diversity import Reservoir, word_count
from datagen.report.files import as_text

MEASURED = 1000
"""Rows that diversity is measured on: as many as the paper released, so that figures compare."""
READ = 20
"""Rows to read."""
LONGEST = 20_000
"""Characters of a text that are kept."""
_SEED = "report"


@dataclass(frozen=True, slots=True)
class Shown:
    """A row to read: its messages as (role, text), and its provenance."""

    id: str
    messages: tuple[tuple[str, str], ...]
    facts: dict[str, Any]


@dataclass(slots=True)
class Scan:
    """What one pass over the rows found."""

    rows: int = 0
    instruction_words: Counter[int] = field(default_factory=Counter)
    response_words: Counter[int] = field(default_factory=Counter)
    skills: Counter[str] = field(default_factory=Counter)
    query_types: Counter[str] = field(default_factory=Counter)
    topics: Counter[str] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)
    """Rows by their number of skills."""
    combinations: int = 0
    """Different sets of skills."""
    measured: Reservoir[tuple[str, str]] = field(default_factory=lambda: Reservoir(MEASURED, _SEED))
    """(instruction, response) of drawn rows."""
    shown: Reservoir[Shown] = field(default_factory=lambda: Reservoir(READ, _SEED))


def scan(rows: Iterable[dict[str, Any]]) -> Scan:
    """Count and draw; a row of any generator will do, what it lacks is not counted."""
    found, combinations = Scan(), array("Q")
    for row in rows:
        facts = provenance(row)
        messages = _messages(row.get("prompt")) + _messages(row.get("completion"))
        instruction = next((text for role, text in reversed(messages) if role == "user"), "")
        response = messages[-1][1] if messages and messages[-1][0] == "assistant" else ""
        found.rows += 1
        found.instruction_words[word_count(instruction)] += 1
        found.response_words[word_count(response)] += 1
        found.measured.add((instruction[:LONGEST], response[:LONGEST]))
        found.shown.add(Shown(as_text(row.get("id")), messages, facts))
        _count_skills(found, facts, combinations)
    found.combinations = _different(combinations)
    return found


def provenance(row: dict[str, Any]) -> dict[str, Any]:
    """The row's provenance, or nothing where it has none that can be read."""
    try:
        facts = json.loads(row["provenance"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def names(value: Any) -> list[str]:
    """The texts of a list; nothing for anything else."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _messages(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list):
        return ()
    return tuple(
        (as_text(each.get("role")), as_text(each.get("content")))
        for each in value
        if isinstance(each, dict)
    )


def _count_skills(found: Scan, facts: dict[str, Any], combinations: array[int]) -> None:
    skills = names(facts.get("skills"))
    if skills:
        found.skills.update(skills)
        found.sizes[len(skills)] += 1
        together = "\n".join(sorted(skills)).encode("utf-8", "replace")
        digest = hashlib.blake2b(together, digest_size=8).digest()
        combinations.append(int.from_bytes(digest, "little"))
    if isinstance(kind := facts.get("query_type"), str):
        found.query_types[kind] += 1
    topics = facts.get("topics")
    if isinstance(topics, list):
        found.topics.update({topic for each in topics for topic in names(each) if topic})


def _different(combinations: array[int]) -> int:
    import numpy as np

    return len(np.unique(np.asarray(combinations, np.uint64)))
