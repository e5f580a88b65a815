"""How much of the skill inventory the rows use, beside what uniform random draws would use.

Instruct-SkillMix (arXiv 2408.14774) draws k distinct skills of K for each row, independently. A
skill is missed by n rows with probability (1 - k/K)^n, so K (1 - (1 - k/K)^n) are used. The same
with the C = C(K, k) combinations gives C (1 - (1 - 1/C)^n) different ones, which is n - n^2 / (2 C)
while n is small beside C.
"""

from __future__ import annotations

import math
from collections import Counter

from pydantic import BaseModel, ConfigDict


class Coverage(BaseModel):
    """Skills and combinations of skills among the rows."""

    model_config = ConfigDict(frozen=True)

    skills: int
    """Skills in the inventory."""
    used: int
    expected_used: float
    k: int
    """Skills a row; the most common number where rows differ."""
    rows: int
    """Rows that name skills."""
    combinations: int
    """Different combinations of skills."""
    expected_combinations: float
    uses: dict[int, int]
    """How many skills (values) were used in how many rows (keys), the unused ones included."""
    unknown: int
    """Skills of rows that the inventory does not list."""


def coverage(
    inventory: set[str], used: Counter[str], sizes: Counter[int], combinations: int
) -> Coverage | None:
    """Coverage of an inventory of skills; None where no row names a skill.

    Args:
        inventory: skills there are; where it is empty those that were used stand for it.
        used: rows by skill.
        sizes: rows by their number of skills.
        combinations: different combinations of skills among the rows.
    """
    if not used:
        return None
    known = inventory or set(used)
    rows, k = sum(sizes.values()), sizes.most_common(1)[0][0]
    uses = Counter(used[skill] for skill in known)
    return Coverage(
        skills=len(known),
        used=len(known) - uses[0],
        expected_used=expected_used(len(known), k, rows),
        k=k,
        rows=rows,
        combinations=combinations,
        expected_combinations=expected_combinations(len(known), k, rows),
        uses=dict(sorted((times, count) for times, count in uses.items() if count)),
        unknown=sum(skill not in known for skill in used),
    )


def expected_used(skills: int, k: int, rows: int) -> float:
    """Expected number of skills that at least one of the rows uses."""
    return skills * (1 - (1 - min(k, skills) / skills) ** rows) if skills else 0.0


def expected_combinations(skills: int, k: int, rows: int) -> float:
    """Expected number of different k-combinations among the rows."""
    possible = math.comb(skills, k)
    if not possible:
        return 0.0
    if possible == 1 or rows * rows < possible * 1e-6:
        return float(min(rows, possible))
    return -possible * math.expm1(rows * math.log1p(-1 / possible))
