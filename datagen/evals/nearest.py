"""How near each text is to the one most like it: ROUGE-L, TF-IDF cosine, embedding cosine.

ROUGE-L is the F1 of Lin 2004, section 3, without stemming. The scores rise with the number of texts
compared, so compare equal numbers.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from datagen.filters.quality import tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores = NDArray[np.float32]

BINS = 20
"""Bins of a similarity histogram, from 0 to 1."""
_COLUMNS = 4096  # terms multiplied at once: 200 texts x 4096 float32 are 3 MB


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
