"""Duplicates among texts in plan order: the first of a group is kept, however fast each was made.

Each function walks the texts once and compares a text only with those kept before it. It drops
nothing itself: it returns the matches, so that what it would drop can be counted first.

ROUGE-L (Lin 2004, section 3): with LCS the longest common subsequence of word tokens, P = LCS/m,
R = LCS/n, F1 = 2PR/(P+R) = 2 LCS/(m+n). The tokens two texts have in common, order aside, bound
the LCS from above: F1 >= t needs t (m+n)/2 of them. An inverted index counts them first, so that
few pairs come to rapidfuzz's bit-parallel LCS and no match is lost. (Its normalised similarity
loses pairs that equal the cutoff: 3.14.6 answers 0 for 12/15 at 0.8, so the LCS is asked for.)
"""

from __future__ import annotations

import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from datagen.embed import embed, near_duplicates
from datagen.errors import ConfigError
from datagen.filters.quality import tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


SLACK = 1e-9  # a score equal to the threshold reaches it, whatever the rounding of either


class Match(NamedTuple):
    """A text to drop, the kept text it repeats (by position), and their similarity (0 to 1)."""

    dropped: int
    kept: int
    score: float


def exact(texts: Sequence[str]) -> list[Match]:
    """Texts equal to an earlier one but for white space and unicode form (NFKC)."""
    first: dict[str, int] = {}
    matches = []
    for position, text in enumerate(texts):
        kept = first.setdefault(" ".join(unicodedata.normalize("NFKC", text).split()), position)
        if kept != position:
            matches.append(Match(position, kept, 1.0))
    return matches


def rouge_l(texts: Sequence[str], threshold: float = 0.7) -> list[Match]:
    """Texts whose ROUGE-L F1 with an earlier kept one reaches the threshold.

    The partner is the most similar kept text, the earliest of equals. Tokens are those of
    ``quality.tokens``: for ASCII text the same as rouge-score's without a stemmer. A text without
    a token matches nothing. Memory grows with the number of tokens, time at worst with its square.

    Raises:
        ConfigError: the threshold is not above 0 and at most 1.
    """
    import numpy as np

    _check_threshold(threshold)
    coded, elements = _encode(texts), dict[tuple[int, int], int]()
    holders: dict[int, array[int]] = defaultdict(_numbers)  # element -> numbers of kept texts
    kept, sizes, matches = list[int](), _numbers(), list[Match]()
    for position, ids in enumerate(coded):
        bag = _bag(ids, elements)
        if not bag:
            continue
        common = _common(bag, holders, len(kept))
        enough = threshold / 2 * (np.asarray(sizes, np.float64) + len(ids)) - SLACK
        candidates = [kept[number] for number in np.flatnonzero(common >= enough)]
        match = _best(position, candidates, coded, threshold)
        if match:
            matches.append(match)
            continue
        for element in bag:
            holders[element].append(len(kept))
        kept.append(position)
        sizes.append(len(ids))
    return matches


def by_embedding(
    texts: Sequence[str], threshold: float = 0.9, model: str | None = None
) -> list[Match]:
    """Texts whose embedding has a cosine of at least the threshold with an earlier kept one's.

    Raises:
        ConfigError: as ``embed``; or the threshold is not above 0 and at most 1.
    """
    _check_threshold(threshold)
    return [Match(*match) for match in near_duplicates(embed(texts, model), threshold)]


def _check_threshold(threshold: float) -> None:
    if not 0 < threshold <= 1:
        raise ConfigError(f"duplicate threshold {threshold}: give one above 0 and at most 1")


def _numbers() -> array[int]:
    return array("I")


def _encode(texts: Sequence[str]) -> list[array[int]]:
    """Each text as its tokens' numbers."""
    numbers: dict[str, int] = {}
    return [
        array("I", [numbers.setdefault(token, len(numbers)) for token in tokens(text)])
        for text in texts
    ]


def _bag(ids: array[int], elements: dict[tuple[int, int], int]) -> list[int]:
    """A text's elements: a token and how often it came before, so that bags become sets."""
    times: Counter[int] = Counter()
    bag = []
    for token in ids:
        bag.append(elements.setdefault((token, times[token]), len(elements)))
        times[token] += 1
    return bag


def _common(bag: list[int], holders: dict[int, array[int]], kept: int) -> NDArray[np.int64]:
    """How many elements of the bag each of the kept texts has: int64 [kept]."""
    import numpy as np

    lists = [np.frombuffer(holders[element], np.uint32) for element in bag if holders.get(element)]
    return np.bincount(np.concatenate(lists), minlength=kept) if lists else np.zeros(kept, np.int64)


def _best(
    position: int, candidates: list[int], coded: list[array[int]], threshold: float
) -> Match | None:
    """The most similar candidate at or above the threshold, the earliest of equals."""
    import numpy as np
    from rapidfuzz import process
    from rapidfuzz.distance import LCSseq

    if not candidates:
        return None
    others = [coded[candidate] for candidate in candidates]
    lcs = process.cdist([coded[position]], others, scorer=LCSseq.similarity, dtype=np.int32)[0]
    scores = 2 * lcs / (len(coded[position]) + np.array([len(other) for other in others]))
    best = int(scores.argmax())
    score = float(scores[best])
    return Match(position, candidates[best], score) if score >= threshold - SLACK else None
