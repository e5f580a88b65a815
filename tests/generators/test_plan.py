import math
import random
from collections import Counter

import pytest

from datagen.generators.plan import PairPlan

SKILLS = [f"skill_{i}" for i in range(1143)]
TYPES = [f"type {i}" for i in range(16)]


def test_n_positions_of_k_distinct_skills():
    plan = PairPlan(SKILLS, TYPES, 500, 3, 42)
    rows = list(plan)
    assert [row["position"] for row in rows] == list(range(500))
    assert all(len(set(row["skills"])) == 3 for row in rows)


def test_coverage_is_that_of_independent_draws():
    """Notes 1.4.1 at n = 4000, k = 2, K = 1143."""
    n, k, size = 4000, 2, len(SKILLS)
    rows = list(PairPlan(SKILLS, TYPES, n, k, 42))
    pairs = len({frozenset(row["skills"]) for row in rows})
    # n^2 / 2 / C(K, k) = 8e6 / 652,653 = 12.26 repeated pairs expected, sd about sqrt(12.26) = 3.5.
    expected = n**2 / 2 / math.comb(size, k)
    assert abs((n - pairs) - expected) < 3 * math.sqrt(expected)
    used = len({name for row in rows for name in row["skills"]})
    # K (1 - (1 - k/K)^n) = 1143 (1 - e^-7.0) = 1142; sd about 1.
    assert abs(used - size * (1 - (1 - k / size) ** n)) < 4


@pytest.mark.parametrize("n", [1, 15, 16, 17, 1000])
def test_balanced_types_differ_by_at_most_one(n):
    counts = Counter(row["query_type"] for row in PairPlan(SKILLS, TYPES, n, 2, 7, "balanced"))
    assert all(counts[name] in (n // 16, -(-n // 16)) for name in TYPES)


def test_iid_types_are_multinomial():
    counts = Counter(row["query_type"] for row in PairPlan(SKILLS, TYPES, 4000, 2, 7, "iid"))
    chi2 = sum((counts[name] - 250) ** 2 / 250 for name in TYPES)
    # 15 degrees of freedom: 1 % lies above 30.58; below 4.0 lies 0.3 % (that would be balanced).
    assert 4.0 < chi2 < 30.58


@pytest.mark.parametrize("mode", ["balanced", "iid"])
def test_a_longer_plan_begins_with_the_shorter(mode):
    short, long = (PairPlan(SKILLS, TYPES, n, 2, 42, mode) for n in (100, 4000))
    assert list(long[:100]) == list(short)


def test_a_position_does_not_depend_on_the_order_of_asking():
    plan = PairPlan(SKILLS, TYPES, 300, 2, 42)
    order = list(range(300))
    random.Random(3).shuffle(order)
    assert {i: plan[i] for i in order} == dict(enumerate(plan))


def test_seeds_give_different_plans():
    one, two = (
        list(PairPlan(SKILLS, TYPES, 50, 2, seed)) for seed in ([42, "train"], [42, "heldout"])
    )
    assert one != two


def test_all_skills_at_once_and_one():
    assert set(PairPlan(["a", "b"], TYPES, 3, 2, 1)[0]["skills"]) == {"a", "b"}
    assert len(PairPlan(["a", "b"], TYPES, 3, 1, 1)[0]["skills"]) == 1


@pytest.mark.parametrize("k", [0, 3])
def test_impossible_k_is_an_error(k):
    with pytest.raises(ValueError, match="cannot be drawn"):
        PairPlan(["a", "b"], TYPES, 3, k, 1)


def test_outside_the_plan_is_an_error():
    plan = PairPlan(SKILLS, TYPES, 3, 2, 1)
    for position in (-1, 3):
        with pytest.raises(IndexError):
            plan[position]
