"""Recipes: checked values, JSON both ways, the schedule."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsmith.errors import UserError
from archsmith.training import Recipe, default_recipe
from archsmith.training.recipe import GROWN, learning_rate, side_at


def test_json_both_ways() -> None:
    recipe = Recipe(optimizer="adamw", lr=1 / 3, class_balance=True)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    assert Recipe.from_json({}) == Recipe()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"optimiser": "sgd"}, "did you mean 'optimizer'"),
        ({"optimizer": "adam"}, "did you mean 'adamw'"),
        ({"lr": -0.1}, "lr=-0.1"),
        ({"lr": math.nan}, "lr=nan"),
        ({"lr": "0.1"}, "lr='0.1'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 2.5}, "whole number"),
        ({"ema": 1.0}, "ema"),
        ({"precision": "fp16"}, "float32, bf16"),
    ],
)
def test_bad_values_are_named(values: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match="recipe") as caught:
        Recipe.from_json(values)
    assert words in str(caught.value)


@given(st.floats(0.0, 1.0), st.floats(0.0, 0.9))
def test_schedule_stays_between_zero_and_the_peak(progress: float, warmup: float) -> None:
    recipe = Recipe(lr=0.3, warmup=warmup)
    assert 0.0 <= learning_rate(recipe, progress) <= 0.3


def test_schedule_rises_then_falls() -> None:
    recipe = Recipe(lr=0.2, warmup=0.25)
    rates = [learning_rate(recipe, p / 100) for p in range(101)]
    assert rates[0] == 0.0 and rates[25] == pytest.approx(0.2) and rates[100] == pytest.approx(0.0)
    assert rates[:26] == sorted(rates[:26]) and rates[25:] == sorted(rates[25:], reverse=True)
    assert learning_rate(recipe, 0.625) == pytest.approx(0.1)  # half way down the cosine
    assert learning_rate(Recipe(lr=0.2, warmup=0.0), 0.0) == pytest.approx(0.2)


@pytest.mark.parametrize("images", [1, 60, 1250, 45_000, 10**7])
def test_default_recipe_suits_its_data(images: int) -> None:
    recipe = default_recipe(images)
    assert recipe.precision == "float32"
    assert recipe.batch_size == (64 if images > 1024 else 8 if images < 256 else recipe.batch_size)
    assert images < 128 or recipe.batch_size * 16 <= images
    assert default_recipe(images, lr=0.01).lr == 0.01
    assert not recipe.class_balance and default_recipe(images, imbalance=20.0).class_balance


@pytest.mark.parametrize("values", [None, [], "lr", 3, [["lr", 1]]])
def test_what_is_no_table_of_settings_is_told(values: Any) -> None:
    with pytest.raises(UserError, match="no table of settings"):
        Recipe.from_json(values)


@pytest.mark.parametrize("value", [None, [], {}, 3, ["sgd"]])
def test_a_choice_of_another_kind_is_told(value: Any) -> None:
    with pytest.raises(UserError, match="optimizer"):
        Recipe(optimizer=value)


@given(st.integers(4, 400), st.floats(0.25, 1.0), st.floats(0.0, 1.0))
def test_images_grow_in_even_steps_and_are_whole_at_the_end(
    side: int, grow: float, progress: float
) -> None:
    recipe = Recipe(grow=grow)
    now = side_at(recipe, side, progress)
    assert 4 <= now <= side and (now == side or now % 4 == 0)
    assert now >= min(side, side_at(recipe, side, progress / 2))
    assert side_at(recipe, side, GROWN) == side == side_at(Recipe(), side, progress)
    first = side_at(recipe, side, 0.0)
    assert abs(first - grow * side) <= 2 or first in (4, side)


def test_images_grow_by_the_share_of_the_training() -> None:
    assert [side_at(Recipe(grow=0.5), 96, share) for share in (0.0, GROWN / 2, GROWN, 1.0)] == [
        48,
        72,
        96,
        96,
    ]
    assert side_at(Recipe(grow=0.5), 8, 0.0) == 4
