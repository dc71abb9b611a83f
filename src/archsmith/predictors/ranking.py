"""How well a score ranks architectures: Kendall, Spearman, precision and regret of the top, nDCG.
Larger scores and truths are better throughout; ties in the score count as if they were broken by a
fair draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from archsmith.errors import UserError

Values = Sequence[float] | np.ndarray


def kendall(score: Values, truth: Values) -> float:
    """Kendall's tau-b (1945): (concordant - discordant) / sqrt(pairs not tied in score * pairs not
    tied in truth).

    nan where one side is constant.
    """
    from scipy.stats import kendalltau

    a, b = _pair(score, truth)
    if _constant(a) or _constant(b):
        return math.nan
    return float(kendalltau(a, b).statistic)


def spearman(score: Values, truth: Values) -> float:
    """Spearman's rho: Pearson's correlation of the ranks, tied values at their mean rank. nan where
    one side is constant."""
    a, b = _pair(score, truth)
    if _constant(a) or _constant(b):
        return math.nan
    first, second = ranks(a), ranks(b)
    first, second = first - first.mean(), second - second.mean()
    return float(first @ second / math.sqrt((first @ first) * (second @ second)))


def ranks(values: Values) -> np.ndarray:
    """1 for the smallest; the mean of their ranks for equal ones."""
    _, inverse, counts = np.unique(
        np.asarray(values, dtype=float), return_inverse=True, return_counts=True
    )
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def precision_at(score: Values, truth: Values, k: int) -> float:
    """The share of the `k` truly best among the `k` of the highest score; expected, where ties are
    cut."""
    a, b = _pair(score, truth)
    return float(_membership(a, k) @ _membership(b, k) / k)


def top_regret(score: Values, truth: Values, k: int = 1) -> float:
    """The best truth there is minus the best among the `k` of the highest score; expected, where
    ties are cut.

    In the unit of the truth: with k = 1 what is lost by taking the first pick.
    """
    a, b = _pair(score, truth)
    _check_k(k, len(a))
    cut = np.sort(a)[-k]
    sure = b[a > cut].max(initial=-math.inf)
    tied = np.sort(b[a == cut])[::-1]
    places = k - int((a > cut).sum())
    expected, missed = 0.0, 1.0  # `missed`: that none of the better of the tied is among the places
    for passed, value in enumerate(tied):
        chance = places / (len(tied) - passed)
        expected += missed * chance * max(float(value), float(sure))
        missed *= 1 - chance
        if missed <= 0:
            break
    return float(b.max() - expected)


def ndcg(score: Values, truth: Values, k: int | None = None) -> float:
    """Normalized discounted cumulative gain as VKDNW (Tybl and Neumann, CVPR 2025) defines it, over
    the first `k` (None: all).

    sum over j of (2^truth_j - 1) / log2(1 + j), j = 1 for the highest score, divided by the same in
    the order of the truth. The unit matters: in percent, what is ten points below the best counts a
    thousandth of it. Equal scores share the mean of their discounts (McSherry and Najork 2008). nan
    where no truth is above 0.
    """
    a, b = _pair(score, truth)
    if b.min() < 0:
        raise UserError(f"a truth of {b.min():g}; nDCG needs values from 0, such as accuracies")
    k = len(a) if k is None else k
    _check_k(k, len(a))
    gain = np.exp2(b - b.max()) - np.exp2(-b.max())  # over 2^max, which cancels, lest it overflows
    discount = 1 / np.log2(np.arange(2, len(a) + 2))
    discount[k:] = 0
    ideal = np.sort(gain)[::-1] @ discount
    if ideal <= 0:
        return math.nan
    _, inverse, counts = np.unique(-a, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    total = np.concatenate([[0.0], np.cumsum(discount)])
    shared = (total[ends] - total[ends - counts]) / counts
    return float(gain @ shared[inverse] / ideal)


def _membership(values: np.ndarray, k: int) -> np.ndarray:
    """The probability of each to be among the `k` highest, when ties at the cut are broken by a
    fair draw."""
    _check_k(k, len(values))
    cut = np.sort(values)[-k]
    above, tied = values > cut, values == cut
    return above + tied * ((k - above.sum()) / tied.sum())


def _check_k(k: int, count: int) -> None:
    if not 1 <= k <= count:
        raise UserError(f"k={k} of {count} values; give from 1 to {count}")


def _constant(values: np.ndarray) -> bool:
    return bool((values == values[0]).all())


def _pair(score: Any, truth: Any) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(score, dtype=float), np.asarray(truth, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise UserError(
            f"scores of shape {a.shape} and truths of shape {b.shape}; give one of each, in two "
            f"lists of equal length"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise UserError(
            "a score or a truth is not finite; leave failed ones out, or give them the lowest score"
        )
    return a, b
