"""Measures of ranking against their definitions, brute force over pairs and tie-breaks, and values
by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.errors import UserError
from archsmith.predictors.ranking import kendall, ndcg, precision_at, ranks, spearman, top_regret

FEW = st.integers(0, 4).map(float)  # many ties
PAIRS = st.lists(st.tuples(FEW, FEW), min_size=1, max_size=6)


def sides(pairs):
    return [a for a, _ in pairs], [b for _, b in pairs]


def orders(score):
    """All orders that fair tie-breaking may give, highest first."""
    found = [
        o
        for o in itertools.permutations(range(len(score)))
        if all(score[a] >= score[b] for a, b in itertools.pairwise(o))
    ]
    assert found
    return found


@given(st.lists(st.tuples(FEW, FEW), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_kendall_counts_pairs(pairs):
    score, truth = sides(pairs)
    signs = [
        (np.sign(score[i] - score[j]), np.sign(truth[i] - truth[j]))
        for i, j in itertools.combinations(range(len(pairs)), 2)
    ]
    untied = sum(bool(a) for a, _ in signs) * sum(bool(b) for _, b in signs)
    if untied:
        assert kendall(score, truth) == pytest.approx(
            sum(a * b for a, b in signs) / math.sqrt(untied)
        )
    else:
        assert math.isnan(kendall(score, truth))


@given(st.lists(st.tuples(FEW, FEW), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_spearman_is_scipys(pairs):
    from scipy.stats import rankdata, spearmanr

    score, truth = sides(pairs)
    assert ranks(score).tolist() == rankdata(score).tolist()
    if len(set(score)) > 1 and len(set(truth)) > 1:
        assert spearman(score, truth) == pytest.approx(spearmanr(score, truth).statistic)
    else:
        assert math.isnan(spearman(score, truth))


def test_correlations_by_hand():
    assert kendall([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(4 / 6)
    assert kendall([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / math.sqrt(2 * 3))
    assert kendall([1, 2], [2, 1]) == -1
    assert spearman([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(1 - 6 * 2 / (4 * 15))


@given(PAIRS, st.data())
@settings(max_examples=60, deadline=None)
def test_precision_and_regret_are_means_over_tie_breaks(pairs, data):
    score, truth = sides(pairs)
    k = data.draw(st.integers(1, len(pairs)))
    tops, bests = [o[:k] for o in orders(score)], [o[:k] for o in orders(truth)]
    overlaps = [len(set(a) & set(b)) / k for a in tops for b in bests]
    assert precision_at(score, truth, k) == pytest.approx(np.mean(overlaps))
    regrets = [max(truth) - max(truth[i] for i in top) for top in tops]
    assert top_regret(score, truth, k) == pytest.approx(np.mean(regrets))


@given(PAIRS, st.data())
@settings(max_examples=60, deadline=None)
def test_ndcg_is_the_mean_over_tie_breaks(pairs, data):
    score, truth = sides(pairs)
    k = data.draw(st.none() | st.integers(1, len(pairs)))

    def gained(order):
        return sum((2 ** truth[i] - 1) / math.log2(1 + j) for j, i in enumerate(order[:k], start=1))

    ideal = gained(sorted(range(len(truth)), key=lambda i: -truth[i]))
    if ideal:
        assert ndcg(score, truth, k) == pytest.approx(
            np.mean([gained(o) for o in orders(score)]) / ideal
        )
    else:
        assert math.isnan(ndcg(score, truth, k))


def test_ndcg_by_hand():
    """Accuracies 3, 2, 0 put in the order 2, 3, 0."""
    assert ndcg([2, 3, 1], [3, 2, 0]) == pytest.approx(
        (3 + 7 / math.log2(3)) / (7 + 3 / math.log2(3))
    )
    assert ndcg([9, 8, 7], [94.4, 93.2, 10.0]) == 1
    assert ndcg([1, 2, 3], [94.4, 93.4, 10.0]) == pytest.approx(
        (0.5 / math.log2(3) + 1 / 2) / (1 + 0.5 / math.log2(3))
    )
    assert ndcg([1, 2], [4000.0, 10.0]) == pytest.approx(1 / math.log2(3))  # too large for 2^x


def test_regret_of_the_first_pick_is_what_it_loses():
    truth = [94.0, 91.5, 93.0]
    assert top_regret([1, 2, 3], truth) == 1.0
    assert top_regret([1, 3, 2], truth, 2) == 1.0
    assert top_regret([3, 1, 2], truth) == 0.0
    assert precision_at([1, 3, 2], truth, 2) == 0.5


@pytest.mark.parametrize(
    "measure", [kendall, spearman, ndcg, top_regret, lambda a, b: precision_at(a, b, 1)]
)
def test_what_cannot_be_ranked_is_refused(measure):
    for score, truth in ([1, 2], [1]), ([], []), ([[1]], [[1]]):
        with pytest.raises(UserError, match="of equal length"):
            measure(score, truth)
    for score, truth in ([1, math.nan], [1, 2]), ([1, 2], [math.inf, 2]):
        with pytest.raises(UserError, match="not finite"):
            measure(score, truth)


def test_impossible_settings_are_refused():
    for call in (
        lambda: top_regret([1], [1], 2),
        lambda: precision_at([1], [1], 0),
        lambda: ndcg([1], [1], 2),
    ):
        with pytest.raises(UserError, match="give from 1 to 1"):
            call()
    with pytest.raises(UserError, match="nDCG needs values from 0"):
        ndcg([1, 2], [-1, 2])
