"""Intervals against published ones; a verdict that is no louder than its interval."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsmith._internal.statistics import wilson
from archsmith.report.verdict import Comparison, compare


def of_shares(a: float, n: int, b: float, m: int) -> Comparison:
    return compare(a, wilson(a * n, n), b, wilson(b * m, m))


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ],
)
def test_compare_gives_the_published_intervals(
    first: tuple, second: tuple, low: float, high: float
) -> None:
    """Newcombe, Statistics in Medicine 17 (1998) 873, table II, method 10."""
    result = of_shares(first[0] / first[1], first[1], second[0] / second[1], second[1])
    assert (result.low, result.high) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize(
    ("ours", "theirs", "n", "outcome"),
    [
        (0.98, 0.97, 540, "tie"),
        (0.98, 0.90, 540, "won"),
        (0.90, 0.98, 540, "lost"),
        (0.98, 0.97, 10_000, "won"),
        (1.0, 1.0, 5, "tie"),
    ],
)
def test_outcome_depends_on_how_much_was_tested(
    ours: float, theirs: float, n: int, outcome: str
) -> None:
    assert of_shares(ours, n, theirs, n).outcome == outcome


@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(0, 1), st.floats(0, 1))
def test_compare_is_antisymmetric_and_honest(n: int, m: int, share: float, other: float) -> None:
    a, b = round(share * n) / n, round(other * m) / m
    there, back = of_shares(a, n, b, m), of_shares(b, m, a, n)
    assert there.low <= there.difference <= there.high
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-12)
    assert {there.outcome, back.outcome} in ({"tie"}, {"won", "lost"})
    assert (there.outcome == "tie") == (there.low <= 0 <= there.high)
