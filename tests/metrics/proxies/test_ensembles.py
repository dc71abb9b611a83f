"""Rank sums and the forward selection of their members."""

from __future__ import annotations

import math

import numpy as np
import pytest

from archsmith.errors import UserError
from archsmith.metrics.proxies.ensembles import (
    Ensemble,
    Judged,
    Reference,
    bagged,
    rank_sum,
    selected,
)
from archsmith.predictors.ranking import kendall

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(size=(2, 80)).sum(axis=0)


def noisy(amount: float, seed: int) -> np.ndarray:
    return TRUTH + amount * np.random.default_rng(seed).normal(size=len(TRUTH))


def test_a_rank_sum_is_the_sum_of_weighted_log_ranks() -> None:
    columns = {"a": np.array([3.0, 1.0, math.nan, 2.0]), "b": np.array([5.0, 5.0, 1.0, 9.0])}
    a, b = np.array([4, 2, 1, 3]), np.array([2.5, 2.5, 1, 4])  # nan is last
    found = rank_sum(Ensemble("x", (("a", 1.0), ("b", 2.0)), ""), columns)
    np.testing.assert_allclose(found, np.log(a / 4) + 2 * np.log(b / 4))
    found = rank_sum(Ensemble("x", (("b", -1.0),), ""), columns)  # the smaller the better
    np.testing.assert_allclose(found, np.log(np.array([2.5, 2.5, 4, 1]) / 4))


def test_a_reference_ranks_one_network_as_the_set_would() -> None:
    ensemble = Ensemble("x", (("a", 1.0), ("b", -2.0), ("none", 1.0)), "")
    columns = {
        "a": np.array([3.0, 1.0, 2.0, 2.0]),
        "b": np.array([5.0, 5.5, 1.0, 9.0]),
        "none": np.full(4, math.nan),
    }
    rows = [{name: float(values[i]) for name, values in columns.items()} for i in range(4)]
    reference = Reference(ensemble, rows)
    # it tells nothing apart
    total = rank_sum(ensemble, columns) - rank_sum(Ensemble("none", (("none", 1.0),), ""), columns)
    np.testing.assert_allclose([reference(row) for row in rows], total)

    def at(a: float, b: float = 1.0) -> float:
        return reference({"a": a, "b": b, "none": 1.0})

    assert at(1.0) < at(1.5) < at(2.0) < at(2.5) < at(3.0)  # between them, too
    assert (
        at(3.0) == 0.0
        and at(4.0) == pytest.approx(math.log(2))
        and at(7.0) == pytest.approx(4 * math.log(2))
    )
    assert at(3.0, 0.5) > 0.0 > at(3.0, 1.1)
    assert at(math.nan) == at(-math.inf) == at(-9.0) == pytest.approx(-math.log(8))
    with pytest.raises(UserError, match="needs the score 'b'"):
        reference({"a": 1.0})


def test_selection_takes_what_adds_up_and_leaves_noise() -> None:
    columns = {
        "good": noisy(1.0, 1),
        "other": noisy(1.0, 2),  # its errors are not those of "good"
        "noise": np.random.default_rng(3).normal(size=len(TRUTH)),
    }
    one = Judged(columns, [TRUTH])
    ensemble, qualities = selected("mine", [one], sorted(columns))
    assert {name for name, _ in ensemble.members} == {"good", "other"} and ensemble.name == "mine"
    assert qualities == sorted(qualities) and qualities[-1] == pytest.approx(one.quality(ensemble))
    assert qualities[0] == max(kendall(columns[name], TRUTH) for name in columns)
    assert qualities[-1] > qualities[0]


def test_selection_looks_at_all_benchmarks_and_stops_in_time() -> None:
    first = Judged({"a": noisy(0.1, 1), "b": -TRUTH}, [TRUTH])
    second = Judged(
        {"a": noisy(2.0, 2), "b": TRUTH},
        [TRUTH, np.where(np.arange(len(TRUTH)) < 9, np.nan, TRUTH)],
    )
    ensemble, qualities = selected("mine", [first, second], ["a", "b"], most=1)
    assert ensemble.members == (("a", 1.0),) and len(qualities) == 1
    with pytest.raises(UserError, match="no candidates"):
        selected("mine", [first], [])


def test_bags_keep_what_helps_and_leave_noise_out() -> None:
    columns = {
        "good": noisy(1.0, 1),
        "other": noisy(1.0, 2),
        "noise": np.random.default_rng(3).normal(size=len(TRUTH)),
    }
    one = Judged(columns, [TRUTH])
    ensemble = bagged("mine", [one], sorted(columns), bags=20, share=0.7)
    assert {name for name, _ in ensemble.members} == {"good", "other"}
    assert sum(weight for _, weight in ensemble.members) == pytest.approx(1.0, abs=0.1)
    assert ensemble == bagged("mine", [one], sorted(columns), bags=20, share=0.7)
    assert ensemble != bagged("mine", [one], sorted(columns), bags=20, share=0.7, seed=1)
    with pytest.raises(UserError, match="no candidates"):
        bagged("mine", [one], [])
    with pytest.raises(UserError, match="no benchmark"):
        bagged("mine", [], ["good"])
