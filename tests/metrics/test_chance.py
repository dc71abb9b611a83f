"""Chance is no result: whether a network is better than the same answer always."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsmith.metrics.accuracy import summary
from archsmith.metrics.chance import against_constant, more_time


@pytest.mark.parametrize(
    "confusion",
    [
        [[50, 0], [50, 0]],  # the one class always
        [[95, 0], [5, 0]],  # the largest class of unequal ones: right in 95 of 100
        [[10, 10, 10], [10, 10, 10], [10, 10, 10]],  # by lot
        [[3, 2], [2, 3]],  # a few images
        [[9, 0, 0], [9, 1, 0], [9, 0, 1]],
        [[190, 5], [10, 0]],
        [
            [5, 40, 5],
            [5, 20, 5],
            [5, 5, 10],
        ],  # a little better than by lot, and right less often than the largest class is there
    ],
)
def test_what_a_constant_or_a_lot_would_give_is_not_above_it(confusion: list[list[int]]) -> None:
    found = against_constant(summary(confusion))
    assert not found["above"]
    assert found["constant"] == max(map(sum, confusion)) / sum(map(sum, confusion))


@pytest.mark.parametrize(
    "confusion",
    [
        [[60, 40], [40, 160]],
        # right less often than always the large class, but it finds the small one
        [[900, 50], [5, 45]],
        [[20, 10, 10], [10, 20, 10], [10, 10, 20]],
    ],
)
def test_a_network_that_finds_something_is_above(confusion: list[list[int]]) -> None:
    assert against_constant(summary(confusion))["above"]


@given(rows=st.lists(st.integers(1, 300), min_size=2, max_size=12), which=st.integers(0, 11))
def test_no_constant_answer_is_ever_above_itself(rows: list[int], which: int) -> None:
    which %= len(rows)
    confusion = [[n if place == which else 0 for place in range(len(rows))] for n in rows]
    assert not against_constant(summary(confusion))["above"]


@given(rows=st.lists(st.integers(30, 300), min_size=2, max_size=12))
def test_a_perfect_network_is_above(rows: list[int]) -> None:
    confusion = [
        [n if place == row else 0 for place in range(len(rows))] for row, n in enumerate(rows)
    ]
    assert against_constant(summary(confusion))["above"]


@pytest.mark.parametrize(("low", "above"), [(-0.2, False), (0.0, False), (0.01, True)])
def test_numbers_are_held_against_the_mean(low: float, above: bool) -> None:
    result: dict[str, Any] = {"accuracy": 0.1, "interval": [low, 0.3]}
    assert against_constant(result) == {"constant": 0.0, "above": above}


def test_the_time_to_ask_for_follows_from_the_pace() -> None:
    assert more_time(100, 400, 60.0) == 240.0
    assert more_time(400, 400, 60.0) is None and more_time(0, 400, 60.0) is None
