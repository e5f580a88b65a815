"""How varied a set of texts is: distinct-n, openings, lengths, and how near the nearest other text.

Distinct-n (Li et al. 2016, arXiv 1510.03055, section 5.1) is the number of different n-grams over
the number of all n-grams; it falls as the texts grow in number, so compare equal numbers of texts.
ROUGE-L is the F1 of Lin 2004, section 3, without stemming. The mean nearest-neighbour score also
depends on how many neighbours there are: each result says how many texts it used.
"""

from __future__ import annotations

import math
import random
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from datagen.filters.quality import count_words, tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores = NDArray[np.float32]

T = TypeVar("T")
BINS = 20
"""Bins of a similarity histogram, from 0 to 1."""
_COLUMNS = 4096  # terms multiplied at once: 200 texts x 4096 float32 are 3 MB


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


class Nearest(BaseModel):
    """Similarity of each text to the most similar other one: 0 (nothing shared) to 1 (the same)."""

    model_config = ConfigDict(frozen=True)

    texts: int = 0
    """How many texts were compared with each other."""
    median: float = 0.0
    p95: float = 0.0
    max: float = 0.0
    histogram: tuple[int, ...] = (0,) * BINS
    """Texts in each of 20 equal bins from 0 to 1."""


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


def rouge_l_nearest(texts: Sequence[str]) -> Scores:
    """ROUGE-L F1 of each text with its nearest other one: float32 [n]; n * n comparisons.

    With LCS the longest common subsequence, F1 = 2 LCS / (a + b), which is the Indel similarity
    1 - (a + b - 2 LCS) / (a + b) that rapidfuzz computes. A text without a word is near nothing.
    """
    import numpy as np
    from rapidfuzz import process
    from rapidfuzz.distance import Indel

    numbers: dict[str, int] = {}
    coded = [
        array("I", [numbers.setdefault(token, len(numbers)) for token in tokens(text)])
        for text in texts
    ]
    if len(coded) < 2:
        return np.zeros(len(coded), np.float32)
    scores = process.cdist(coded, coded, scorer=Indel.normalized_similarity)
    scores[:, [not len(code) for code in coded]] = 0
    return _best(scores)


def tfidf_nearest(texts: Sequence[str]) -> Scores:
    """Cosine of TF-IDF vectors of each text with its nearest other one: float32 [n].

    Weight of a token: its count times ln((1 + n) / (1 + texts that have it)) + 1.
    """
    import numpy as np

    bags = [Counter(tokens(text)) for text in texts]
    holders = Counter(token for bag in bags for token in bag)
    idf = {t: math.log((1 + len(bags)) / (1 + held)) + 1 for t, held in holders.items()}
    norms = [math.sqrt(sum((c * idf[t]) ** 2 for t, c in bag.items())) or 1.0 for bag in bags]
    # A token that one text alone has adds to that text's norm and to no product.
    shared = [token for token, held in holders.items() if held > 1]
    products = np.zeros((len(bags), len(bags)), np.float32)
    for start in range(0, len(shared), _COLUMNS):
        part = shared[start : start + _COLUMNS]
        block = np.array(
            [[bag[t] * idf[t] / norm for t in part] for bag, norm in zip(bags, norms, strict=True)],
            np.float32,
        )
        products += block @ block.T
    return _best(products)


def embedding_nearest(texts: Sequence[str], model: str | None = None) -> Scores:
    """Cosine of sentence embeddings of each text with its nearest other one: float32 [n].

    Raises:
        ConfigError: the embed extra or the model is missing.
    """
    import numpy as np

    from datagen.embed import embed, nearest

    if len(texts) < 2:
        return np.zeros(len(texts), np.float32)
    return nearest(embed(texts, model))[0][:, 0]


def summarise(scores: Scores) -> Nearest:
    """Median, 95th percentile, maximum and histogram of nearest-neighbour scores."""
    import numpy as np

    if len(scores) < 2:
        return Nearest(texts=len(scores))
    inside = np.clip(scores, 0, 1)
    return Nearest(
        texts=len(scores),
        median=float(np.median(inside)),
        p95=float(np.sort(inside)[int(0.95 * len(inside))]),
        max=float(inside.max()),
        histogram=tuple(int(n) for n in np.histogram(inside, BINS, (0, 1))[0]),
    )


def _best(scores: Scores) -> Scores:
    """The largest entry of each row beside the diagonal: float32 [n]."""
    import numpy as np

    if len(scores) < 2:
        return np.zeros(len(scores), np.float32)
    np.fill_diagonal(scores, -1)
    best: Scores = scores.max(axis=1)
    return best
