"""Fronts against brute force, hypervolume against pymoo and in closed form."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.errors import UserError
from archsmith.problem.pareto import crowding, dominates, front, fronts, hypervolume

clouds = st.integers(1, 4).flatmap(
    lambda d: st.lists(st.tuples(*[st.integers(0, 5)] * d), min_size=0, max_size=30)
)


def test_dominance():
    assert (
        dominates((1, 2), (1, 3))
        and not dominates((1, 2), (1, 2))
        and not dominates((1, 3), (2, 2))
    )


@given(clouds)
@settings(max_examples=300, deadline=None)
def test_the_front_is_what_nothing_dominates(points):
    assert front(points) == [
        i for i, p in enumerate(points) if not any(dominates(q, p) for q in points)
    ]


@given(clouds)
@settings(max_examples=200, deadline=None)
def test_fronts_peel_the_cloud(points):
    layers, left = fronts(points), list(range(len(points)))
    assert sorted(i for layer in layers for i in layer) == left
    for layer in layers:
        assert layer == [i for i in left if not any(dominates(points[j], points[i]) for j in left)]
        left = [i for i in left if i not in layer]


def test_fronts_of_pymoo_are_the_same():
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    for d in (2, 3):
        points = np.random.default_rng(d).integers(0, 12, (200, d)).astype(float)
        assert fronts(points.tolist()) == [
            sorted(f.tolist()) for f in NonDominatedSorting().do(points)
        ]


def test_crowding_by_hand():
    assert crowding([(0, 4), (1, 2), (4, 0)]) == [math.inf, 2.0, math.inf]
    assert crowding([(0, 0), (0, 0), (0, 0)])[1] == 0
    assert crowding([]) == [] and crowding([(1, 2)]) == [math.inf]


def test_hypervolume_in_closed_form():
    assert hypervolume([(1, 1)], (3, 4)) == 6
    assert hypervolume([(1, 2), (2, 1), (2, 2), (5, 0)], (3, 3)) == 3
    assert hypervolume([(1, 1, 1), (2, 0, 2)], (3, 3, 3)) == pytest.approx(
        8 + 1 * 3 * 1 - 1 * 2 * 1
    )
    assert hypervolume([(2,), (1,)], (4,)) == 3
    assert hypervolume([], (1, 1)) == 0 and hypervolume([(1, 1)], (1, 1)) == 0


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_the_plane_agrees_with_pymoo(seed):
    from pymoo.indicators.hv import HV

    rng = Random(seed)
    points = [(rng.random(), rng.random()) for _ in range(rng.randint(1, 20))]
    assert hypervolume(points, (0.9, 0.8)) == pytest.approx(
        float(HV(ref_point=np.array([0.9, 0.8]))(np.array(points)))
    )


def test_nonsense_is_refused():
    with pytest.raises(UserError, match="not a number"):
        front([(1.0, math.nan)])
    with pytest.raises(UserError, match="3 coordinates for points of 2"):
        hypervolume([(1, 2)], (1, 2, 3))
