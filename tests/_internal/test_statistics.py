"""Intervals against published ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsmith._internal.statistics import apart, wilson


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
def test_apart_is_symmetric_and_more_images_tell_more_apart(first: float, second: float, n: int) -> None:
    assert apart(first, second, n) == apart(second, first, n)
    assert not apart(first, first, n)
    assert not apart(first, second, n) or apart(first, second, 2 * n)


@pytest.mark.parametrize(("n", "answer"), [(100, False), (300, False), (5_000, True)])
def test_apart_by_a_standard_error(n: int, answer: bool) -> None:
    assert apart(0.80, 0.82, n) is answer
