"""Intervals against published ones, the bootstrap against what is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsmith._internal.statistics import apart, middle_95, resampled, wilson


def test_wilson_against_published_values() -> None:
    """Newcombe, Statistics in Medicine 1998, table I, method 3."""
    for successes, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson(successes, n) == pytest.approx((low, high), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_estimate(case: tuple[int, int]) -> None:
    low, high = wilson(*case)
    assert 0 <= low <= case[0] / case[1] + 1e-12 and case[0] / case[1] - 1e-12 <= high <= 1


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 10**6))
def test_apart_is_symmetric_and_more_images_tell_more_apart(
    first: float, second: float, n: int
) -> None:
    assert apart(first, second, n) == apart(second, first, n)
    assert not apart(first, first, n)
    assert not apart(first, second, n) or apart(first, second, 2 * n)


@pytest.mark.parametrize(("n", "answer"), [(100, False), (300, False), (5_000, True)])
def test_apart_by_a_standard_error(n: int, answer: bool) -> None:
    assert apart(0.80, 0.82, n) is answer


def test_the_bootstrap_of_a_mean_is_as_wide_as_its_standard_error() -> None:
    values = np.random.default_rng(5).standard_normal(400)
    low, high = middle_95(
        np.array([values[rows].mean() for rows in resampled(len(values), 4000, seed=1)])
    )
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.05)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.01)


def test_rows_are_drawn_with_replacement_and_come_again() -> None:
    rows = list(resampled(50, 20, seed=3))
    assert len(rows) == 20 and all(
        drawn.shape == (50,) and drawn.min() >= 0 and drawn.max() < 50 for drawn in rows
    )
    assert len(set(rows[0].tolist())) < 50
    assert np.array_equal(rows, list(resampled(50, 20, seed=3))) and not np.array_equal(
        rows, list(resampled(50, 20))
    )


def test_what_is_not_finite_has_no_part_in_an_interval() -> None:
    values = np.array([np.nan, *range(101), np.inf])
    assert middle_95(values) == pytest.approx((2.5, 97.5))
    assert all(map(np.isnan, middle_95(np.array([np.nan]))))
