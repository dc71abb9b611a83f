"""Acquisition functions against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from archsmith.errors import UserError
from archsmith.searchers.acquisition import ACQUISITIONS, acquired, expected_improvement

MEAN = np.array([0.0, 1.0, -1.0, 0.5])
STD = np.array([1.0, 2.0, 0.5, 0.0])


def test_expected_improvement_is_the_mean_of_the_improvement():
    """By the midpoint rule over each normal."""
    z = (np.arange(200_000) + 0.5) / 200_000 * 20 - 10
    weight = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * 20 / 200_000
    for best in (-1.0, 0.0, 2.0):
        improvement = np.maximum(best - (MEAN[:, None] + STD[:, None] * z), 0)
        assert expected_improvement(MEAN, STD, best) == pytest.approx(
            improvement @ weight, abs=1e-7
        )


def test_far_from_improving_it_is_zero_and_never_less():
    values = expected_improvement(np.array([50.0, 1e6, 3.0]), np.array([1.0, 1e-9, 0.0]), 0.0)
    assert (values == 0).all()


def test_the_others_are_what_their_names_say():
    rng = np.random.default_rng(0)
    assert acquired("mean", MEAN, STD, 0.0, rng) == pytest.approx(-MEAN)
    assert acquired("bound", MEAN, STD, 0.0, rng, caution=2.0) == pytest.approx(
        [2.0, 3.0, 2.0, -0.5]
    )
    assert acquired("improvement", MEAN, STD, 0.3, rng) == pytest.approx(
        expected_improvement(MEAN, STD, 0.3)
    )
    draws = np.array([acquired("thompson", MEAN, STD, 0.0, rng) for _ in range(4000)])
    assert draws.mean(axis=0) == pytest.approx(-MEAN, abs=0.15) and draws.std(
        axis=0
    ) == pytest.approx(STD, abs=0.1)
    assert np.corrcoef(draws[:, 0], draws[:, 1])[0, 1] == pytest.approx(0, abs=0.06)  # independent


def test_an_unknown_one_is_refused():
    with pytest.raises(
        UserError, match="no acquisition 'tompson'; there are .*; did you mean 'thompson'"
    ):
        acquired("tompson", MEAN, STD, 0.0, np.random.default_rng(0))
    assert len(ACQUISITIONS) == 4
