"""BOHB: its kernel density by hand, its draws, and when the densities take over."""

from __future__ import annotations

import itertools
import math
from random import Random

import numpy as np
import pytest
from graded import Graded
from toys import chi_square, chi_square_bound, flat, staged

from archsmith.problem import Problem, maximize
from archsmith.searchers.bohb import Density, Grid, bohb
from archsmith.space import INACTIVE


def grid(decisions=2, options=3):
    return Grid.of(flat(decisions, options))


def test_the_density_is_the_mean_of_products_of_kernels():
    density = Density(np.array([[0, 1], [2, 1]]), np.array([0.3, 0.5]), grid())
    assert math.exp(density.log(np.array([[0, 1]]))[0]) == pytest.approx(
        (0.7 * 0.5 + 0.15 * 0.5) / 2
    )
    assert math.exp(density.log(np.array([[1, 2]]))[0]) == pytest.approx(
        (0.15 * 0.25 + 0.15 * 0.25) / 2
    )
    everything = np.array(list(itertools.product(range(3), repeat=2)))
    assert np.exp(density.log(everything)).sum() == pytest.approx(1)


def test_widths_are_the_normal_reference_within_their_limits():
    density = Density.of(np.array([[0, 1, 0], [2, 1, 2], [0, 1, 2], [2, 1, 0]]), grid(3))
    assert density.widths == pytest.approx(
        [min(2 / 3, 1.06 * 1 * 4 ** (-1 / 7)), 1e-3, 2 / 3], rel=1e-12
    )
    assert Density.of(np.array([[0]]), grid(1, 1)).log(np.array([[0]])) == pytest.approx([0])


def test_draws_follow_the_density():
    density = Density(np.array([[0, 1], [2, 1], [2, 2]]), np.array([0.3, 0.2]), grid())
    everything = list(itertools.product(range(3), repeat=2))
    rng = Random(0)
    counts = dict.fromkeys(everything, 0)
    for _ in range(4000):
        counts[tuple(density.draw(rng))] += 1
    expected = 4000 * np.exp(density.log(np.array(everything)))
    assert chi_square(list(counts.values()), list(expected)) < chi_square_bound(8)
    assert len({tuple(density.draw(rng, widening=1e9)) for _ in range(500)}) == 9


def test_absent_decisions_are_one_more_option_and_are_filled_in():
    space = staged(2, 2)
    there = Grid.of(space.restrict({"s0.b0.kernel": (5, 7)}))
    allowed = dict(zip(space, there.allowed, strict=True))
    assert allowed["s0.b0.kernel"] == (1, 2) and allowed["s0.b1.kernel"] == (INACTIVE, 0, 1, 2)
    short = space.complete({"s0.depth": 1}, Random(0))
    vector = space.encode(short)
    rng = Random(1)
    assert there.architecture(vector, rng) == short or short["s0.b0.kernel"] == 3
    vector[list(space).index("s0.depth")] = 1  # one more block than the vector has options for
    kernels = {there.architecture(vector, rng)["s0.b1.kernel"] for _ in range(60)}
    assert kernels == {3, 5, 7}


def test_the_densities_take_over_and_prefer_what_was_good():
    """Few random architectures after the first rung, and nearly all of the proposed take the one
    good option."""
    problem = Problem(
        flat(6, 4), [maximize(Graded(lambda a: float(sum(v == 2 for v in a.values())), noise=0.1))]
    )
    searcher = bohb(problem, 0)
    trials = []
    while len(trials) < 300:
        told = problem.evaluate(searcher.ask())
        trials += told
        searcher.tell(told)
    origins = [t.candidate.origin for t in trials]
    # seven parameters: nine trials make a density
    assert set(origins[:9]) == {"random"} and "model" in origins[9:27]
    model = [t for t in trials[27:] if t.candidate.origin == "model"]
    chance = [t for t in trials[27:] if t.candidate.origin == "random"]
    assert len(model) > len(chance) > 10

    def share(some):
        return sum(v == 2 for t in some for v in t.arch.values()) / (6 * len(some))

    assert share(model) > 2 * share(chance) > 0.3
