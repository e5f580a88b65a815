"""The seeded plan of Instruct-SkillMix: which skills and which query type at each position (notes
1.1, S3).

Position i depends on the seed and i alone, so a longer plan begins with the shorter one, no plan
has to be kept in memory, and threads or machines cannot change it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Literal, overload

from datagen.rows import content_hash


class PairPlan(Sequence[dict[str, Any]]):
    """n positions of ``{"position", "skills": [k names], "query_type": name}``.

    Args:
        skills: distinct names; k of them are drawn for each position, without replacement.
        query_types: distinct names. ``iid`` draws one for each position; ``balanced`` deals them
            out in shuffled rounds, so that every count is floor(n / types) or ceil(n / types).
        seed: any JSON value.
    """

    def __init__(
        self,
        skills: Sequence[str],
        query_types: Sequence[str],
        n: int,
        k: int,
        seed: Any,
        mode: Literal["iid", "balanced"] = "balanced",
    ) -> None:
        if not 1 <= k <= len(skills):
            raise ValueError(f"k = {k} skills cannot be drawn from {len(skills)}")
        self._skills, self._types = skills, query_types
        self._n, self._k, self._seed, self._mode = n, k, seed, mode

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, position: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, position: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, position: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(position, slice):
            return [self[i] for i in range(*position.indices(self._n))]
        if not 0 <= position < self._n:
            raise IndexError(position)
        drawn = self._rng("skills", position).sample(range(len(self._skills)), self._k)
        return {
            "position": position,
            "skills": [self._skills[i] for i in drawn],
            "query_type": self._types[self._type(position)],
        }

    def _type(self, position: int) -> int:
        count = len(self._types)
        if self._mode == "iid":
            return self._rng("type", position).randrange(count)
        deal = list(range(count))
        self._rng("deal", position // count).shuffle(deal)
        return deal[position % count]

    def _rng(self, purpose: str, number: int) -> random.Random:
        return random.Random(content_hash(self._seed, purpose, number))
