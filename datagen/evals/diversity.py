"""How varied a set of texts is: distinct-n, openings, lengths, and how near the nearest other text.

Distinct-n (Li et al. 2016, arXiv 1510.03055, section 5.1) is the number of different n-grams over
the number of all n-grams; it falls as the texts grow in number, so compare equal numbers of texts:
each result says how many it used.
"""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from datagen.evals.nearest import (
    Nearest,
    embedding_nearest,
    rouge_l_nearest,
    summarise,
    tfidf_nearest,
)
from datagen.filters.quality import count_words, tokens

T = TypeVar("T")


class Lengths(BaseModel):
    """Words a text, over all texts. A share p is read at place floor(p * texts) of the sorted
    lengths."""

    model_config = ConfigDict(frozen=True)

    texts: int = 0
    mean: float = 0.0
    median: float = 0.0
    p5: int = 0
    p95: int = 0
    max: int = 0


class Diversity(BaseModel):
    """What ``diversity`` measures."""

    model_config = ConfigDict(frozen=True)

    seen: int
    """Texts given."""
    used: int
    """Texts that distinct-n and openings were measured on: a uniform draw where ``seen`` is
    more."""
    distinct: tuple[float, float, float]
    """Distinct-1, distinct-2, distinct-3; 0 where there is no n-gram."""
    openings: float
    """Share of texts whose first three words no earlier text began with."""
    words: Lengths
    nearest: dict[str, Nearest]
    """By measure: ``rouge_l``, ``tfidf``, and ``embedding`` where it was asked for."""


class Reservoir(Generic[T]):
    """A uniform draw of at most ``size`` items from a stream of unknown length (Vitter 1985,
    algorithm R); the same stream and seed give the same draw."""

    def __init__(self, size: int, seed: int | str = 0) -> None:
        self.size, self.seen = size, 0
        self._rng = random.Random(seed)
        self._kept: list[tuple[int, T]] = []

    def add(self, item: T) -> None:
        """Offer the next item of the stream."""
        self.seen += 1
        if len(self._kept) < self.size:
            self._kept.append((self.seen, item))
        elif (slot := self._rng.randrange(self.seen)) < self.size:
            self._kept[slot] = (self.seen, item)

    def items(self) -> list[T]:
        """The draw so far, in stream order."""
        return [item for _, item in sorted(self._kept, key=lambda kept: kept[0])]


def diversity(
    texts: Iterable[str],
    most: int = 1000,
    sample: int = 200,
    seed: int = 0,
    embeddings: bool = False,
    embedder: str | None = None,
) -> Diversity:
    """Every measure of this module over a stream of texts; memory is that of ``most`` texts.

    Args:
        texts: read once.
        most: texts that distinct-n and openings are measured on, drawn where there are more.
        sample: texts of those that are compared with each other (time grows with its square).
        seed: of both draws.
        embeddings: also compare sentence embeddings; needs the embed extra.
        embedder: see ``datagen.embed.embed``.

    Raises:
        ConfigError: embeddings were asked for and cannot be had.
    """
    drawn, counts = Reservoir[str](most, seed), Counter[int]()
    for text in texts:
        drawn.add(text)
        counts[word_count(text)] += 1
    kept = drawn.items()
    few = draw(kept, sample, seed)
    near = {"rouge_l": rouge_l_nearest(few), "tfidf": tfidf_nearest(few)}
    if embeddings:
        near["embedding"] = embedding_nearest(few, embedder)
    return Diversity(
        seen=drawn.seen,
        used=len(kept),
        distinct=distinct(kept),
        openings=openings(kept),
        words=lengths(counts),
        nearest={name: summarise(scores) for name, scores in near.items()},
    )


def draw(items: Sequence[T], size: int, seed: int = 0) -> list[T]:
    """At most ``size`` of the items, uniformly, in their order."""
    if len(items) <= size:
        return list(items)
    places = random.Random(seed).sample(range(len(items)), size)
    return [items[place] for place in sorted(places)]


def word_count(text: str) -> int:
    """Words: what spaces separate, or by characters in scripts without spaces (see
    ``quality``)."""
    pieces = len(text.split())
    return pieces if text.isascii() else max(pieces, count_words(text))


def lengths(counts: Mapping[int, int]) -> Lengths:
    """Statistics of how many texts (values) have how many words (keys)."""
    total = sum(counts.values())
    if not total:
        return Lengths()
    ordered = sorted(counts)

    def at(place: int) -> int:
        for words in ordered:
            place -= counts[words]
            if place < 0:
                return words
        return ordered[-1]

    return Lengths(
        texts=total,
        mean=sum(words * count for words, count in counts.items()) / total,
        median=(at((total - 1) // 2) + at(total // 2)) / 2,
        p5=at(int(0.05 * total)),
        p95=at(int(0.95 * total)),
        max=ordered[-1],
    )


def distinct(texts: Iterable[str]) -> tuple[float, float, float]:
    """Distinct-1, -2 and -3 over lower-cased word tokens; n-grams do not cross texts.

    An n-gram is known by a number: that of its first n - 1 tokens times the vocabulary's size, plus
    its last token's. So a million n-grams are a few arrays, not a set of a million tuples.
    """
    import numpy as np

    numbers: dict[str, int] = {}
    ids, owners = array("q"), array("q")
    for owner, text in enumerate(texts):
        found = [numbers.setdefault(token, len(numbers)) for token in tokens(text)]
        ids.extend(found)
        owners.extend([owner] * len(found))
    tokens_N, owners_N = np.asarray(ids, np.int64), np.asarray(owners, np.int64)
    grams, shares = tokens_N, []
    for n in (1, 2, 3):
        if n > 1:
            grams = grams[:-1] * len(numbers) + tokens_N[n - 1 :]
            grams = np.unique(grams, return_inverse=True)[1]
        inside = grams[owners_N[: len(grams)] == owners_N[n - 1 :]]
        shares.append(len(np.unique(inside)) / len(inside) if len(inside) else 0.0)
    return shares[0], shares[1], shares[2]


def openings(texts: Iterable[str], words: int = 3) -> float:
    """Share of different first ``words`` word tokens among the texts; 0 where there are none."""
    found = [tuple(tokens(text[:1000])[:words]) for text in texts]
    return len(set(found)) / len(found) if found else 0.0
