"""Labels: groups of equal size by value, and numbers on one scale."""

from __future__ import annotations

import numpy as np
import pytest

from archsmith.data.labels import standardized, strata_by_value
from archsmith.errors import UserError


@pytest.mark.parametrize(("count", "groups"), [(5, 1), (60, 2), (95, 3), (1000, 10)])
def test_groups_by_value_are_of_equal_size_and_in_order(count: int, groups: int) -> None:
    values = np.random.default_rng(0).standard_normal(count)
    found = strata_by_value(values, count)
    sizes = np.bincount(found)
    assert len(sizes) == groups and sizes.max() - sizes.min() <= 1
    assert all(values[found == a].max() <= values[found == a + 1].min() for a in range(groups - 1))


def test_without_values_all_are_one_group() -> None:
    assert strata_by_value(None, 4).tolist() == [0, 0, 0, 0]


def test_values_are_standardized_by_the_training_rows_and_the_goal_knows_the_way_back() -> None:
    values = np.array([[1.0, 10.0], [3.0, 30.0], [100.0, 100.0]])
    found, task = standardized(values, np.array([0, 1]), "age")
    assert (
        found.dtype == np.float32
        and found[:2].mean(axis=0) == pytest.approx(0)
        and found[:2].std(axis=0) == pytest.approx(1)
    )
    assert found * task.std + task.mean == pytest.approx(values, rel=1e-6) and task.targets == (
        "age 1",
        "age 2",
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [([5.0, 5.0], "nothing to predict"), ([1e9, 1e9 + 1], "subtract a constant")],
)
def test_values_that_a_network_cannot_tell_apart_are_refused(
    values: list[float], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        standardized(np.array(values)[:, None], np.array([0, 1]), "age")
