"""What the paper's released data measure: the figures this run's are put beside.

Instruct-SkillMix (Kaur et al., arXiv 2408.14774v4), the released SDA k=2 file of 1,000 rows and its
100 held-out rows, made with gpt-4-turbo-2024-04-09. The columns are those of ``compare``: measured
with the functions of ``datagen.evals.diversity``; the figures of the 1,000 rows come from our notes
on the paper.
"""

from __future__ import annotations

from datagen.evals.diversity import Lengths

TRAIN, HELDOUT = 1000, 100
"""Rows of the two released files."""

WORDS: dict[str, dict[int, Lengths]] = {
    "instruction": {
        TRAIN: Lengths(texts=TRAIN, mean=58.7, median=53, p5=30, p95=113, max=499),
        HELDOUT: Lengths(texts=HELDOUT, mean=62.2, median=55, p5=33, p95=135, max=200),
    },
    "response": {
        TRAIN: Lengths(texts=TRAIN, mean=306.7, median=307, p5=236, p95=381, max=491),
        HELDOUT: Lengths(texts=HELDOUT, mean=304.2, median=302.5, p5=235, p95=394, max=469),
    },
}

SCORES: dict[str, dict[int, dict[str, float]]] = {
    "instruction": {
        TRAIN: {
            "distinct-1": 0.106,
            "distinct-2": 0.565,
            "distinct-3": 0.842,
            "openings": 0.43,
            "rouge_l median": 0.227,
            "rouge_l p95": 0.308,
            "rouge_l max": 0.361,
        },
        HELDOUT: {
            "distinct-1": 0.292,
            "distinct-2": 0.782,
            "distinct-3": 0.934,
            "openings": 0.85,
            "rouge_l median": 0.220,
            "rouge_l p95": 0.341,
            "rouge_l max": 0.374,
            "tfidf median": 0.178,
            "tfidf p95": 0.256,
            "tfidf max": 0.274,
        },
    },
    "response": {
        TRAIN: {"distinct-1": 0.055, "distinct-2": 0.566, "distinct-3": 0.904},
        HELDOUT: {
            "distinct-1": 0.182,
            "distinct-2": 0.794,
            "distinct-3": 0.970,
            "openings": 0.90,
            "rouge_l median": 0.133,
            "rouge_l p95": 0.152,
            "rouge_l max": 0.172,
            "tfidf median": 0.246,
            "tfidf p95": 0.377,
            "tfidf max": 0.472,
        },
    },
}
