"""Rankings against the truth: what counts as broken, slices, intervals, paired differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from archsmith.bench.judge import holm, judge, of_enough, paired, ranked_last, table
from archsmith.errors import UserError
from archsmith.metrics.proxies.ensembles import ENSEMBLES, Ensemble, log_ranks, rank_sum

_SLICES = {
    "top_half": ("kendall_top_half", "spearman_top_half"),
    "top_tenth": ("kendall_top_tenth", "spearman_top_tenth"),
    "top_found": ("top_found",),
}


def test_what_is_not_finite_has_a_rank() -> None:
    assert ranked_last([1.0, math.nan, 3.0, -math.inf, math.inf]).tolist() == [
        1.0,
        0.0,
        3.0,
        0.0,
        4.0,
    ]
    assert ranked_last([math.nan, math.nan]).tolist() == [-1.0, -1.0]


def test_a_perfect_score_and_its_opposite() -> None:
    truth = np.linspace(50, 90, 40)
    best, worst = judge([truth * 2], truth), judge([-truth], truth)
    assert [best[key] for key in ("kendall_all", "spearman_top_tenth", "ndcg")] == pytest.approx(
        [1.0, 1.0, 1.0]
    )
    assert best["top_pick"] == 90 and worst["top_pick"] == 50
    assert worst["kendall_all"] == pytest.approx(-1.0) and worst["kendall_high"] <= -0.99


def test_seeds_are_averaged_and_their_spread_is_told() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    noisy = [truth + rng.normal(size=200) for _ in range(3)]
    found = judge(noisy, truth)
    single = [judge([column], truth)["kendall_all"] for column in noisy]
    assert found["kendall_all"] == pytest.approx(np.mean(single))
    assert found["kendall_seeds"] == pytest.approx(np.std(single, ddof=1))
    assert found["kendall_low"] < found["kendall_all"] < found["kendall_high"]
    assert judge([truth], truth)["kendall_seeds"] is None
    assert found["ndcg"] is None  # of negative truths


def test_a_paired_difference_is_sure_where_two_intervals_overlap() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=150)
    noise = rng.normal(size=150)
    good, worse = [truth + noise], [truth + 1.15 * noise]
    apart = [judge(c, truth) for c in (good, worse)]
    assert apart[1]["kendall_high"] > apart[0]["kendall_low"]
    found = paired(good, worse, truth)
    assert 0 < found["low"] < found["difference"] < found["high"]


def test_log_ranks_share_ties_and_put_the_broken_last() -> None:
    found = log_ranks([5.0, 1.0, 5.0, math.nan])
    assert np.exp(found) * 4 == pytest.approx([3.5, 2.0, 3.5, 1.0])


def test_a_rank_sum_by_hand() -> None:
    ensemble = Ensemble("two", (("a", 1.0), ("b", -2.0)), "")
    found = rank_sum(ensemble, {"a": [1, 2, 3], "b": [9, 5, 7], "c": [0, 0, 0]})
    expected = [
        math.log(1 / 3) + 2 * math.log(1 / 3),
        math.log(2 / 3) + 2 * math.log(3 / 3),
        math.log(1) + 2 * math.log(2 / 3),
    ]
    assert found == pytest.approx(expected)
    with pytest.raises(UserError, match="needs the score 'b'"):
        rank_sum(ensemble, {"a": [1, 2]})


def test_the_published_ensembles_name_scores_that_exist() -> None:
    from archsmith.metrics.proxies import PROXIES

    assert all(proxy in PROXIES for ensemble in ENSEMBLES.values() for proxy in ensemble.proxies)


def test_the_table_leaves_out_what_is_not_known() -> None:
    found = table({"zico": {"x": 0.5, "y": None}}, (("x", "Kendall"), ("y", "sd"))).splitlines()
    assert found[0].split() == ["Kendall", "sd"] and found[1].split() == ["zico", "0.500"]


@pytest.mark.parametrize(
    ("networks", "kept"),
    [(24, ("top_half",)), (12, ()), (60, ("top_half",)), (200, tuple(_SLICES))],
)
def test_what_is_of_too_few_networks_is_left_out_and_their_number_told(
    networks: int, kept: tuple[str, ...]
) -> None:
    truth = np.linspace(50, 90, networks)
    rows = {"params": judge([truth], truth)}
    for name, keys in _SLICES.items():
        for key in keys:
            assert (of_enough(rows["params"], key) is not None) is (name in kept)
    assert of_enough(rows["params"], "kendall_all") is not None
    text = table(rows, [(key, key) for keys in _SLICES.values() for key in keys])
    assert f"networks: {networks}" in text and f"best tenth: {max(2, round(networks / 10))}" in text
    assert text.count("1.000") == sum(len(_SLICES[name]) for name in kept)


def test_holm_adjusts_for_the_number_of_comparisons() -> None:
    """Holm, 1979: the smallest times their number, the next times one less, never falling; written
    out."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([0.02]) == [0.02] and holm([]) == []
