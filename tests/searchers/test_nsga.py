"""NSGA-II and NSGA-III: vectors and architectures, reference directions, what is told of
failures."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from toys import flat, staged

from archsmith.problem import Problem, maximize, minimize
from archsmith.problem.pareto import front
from archsmith.searchers.loop import run_searcher
from archsmith.searchers.nsga import _genes, nsga2, nsga3, reference_directions


@pytest.mark.parametrize(
    ("objectives", "count", "got"),
    [(3, 91, 91), (3, 100, 91), (2, 64, 64), (5, 212, 210), (1, 10, 1)],
)
def test_reference_directions_are_the_finest_lattice_that_fits(objectives, count, got):
    """Deb and Jain 2014, table I: 91 points for 3 objectives (p = 12), 210 for 5 (p = 6)."""
    directions = reference_directions(objectives, count)
    assert directions.shape == (got, objectives)
    assert np.allclose(directions.sum(axis=1), 1)


def test_vectors_keep_the_options_of_absent_decisions():
    space, rng = staged(2, 2), Random(0)
    arch = space.complete({"s0.depth": 1}, rng)
    before = [1] * len(space)
    genes = _genes(space, arch, before, rng)
    assert space.decode(genes) == arch
    names = list(space)
    assert [genes[names.index(n)] for n in ("s0.b1.kernel", "s0.b1.expand")] == [1, 1]
    assert all(
        0 <= g < len(o)
        for g, o in zip(_genes(space, arch, None, rng), space.universe.values(), strict=True)
    )


@pytest.mark.parametrize("make", [nsga2, nsga3])
def test_a_known_front_is_found(make):
    """Two objectives that pull one decision each way: the front is d1 = ... = 0 with any d0."""

    def first(a):
        return a["d0"] + sum(list(a.values())[1:])

    def second(a):
        return 9 - a["d0"] + sum(list(a.values())[1:])

    problem = Problem(flat(5, 10), [minimize(first), minimize(second)])
    archive = run_searcher(problem, make(problem, 0, population=24), trials=1200)
    found = {t.losses for t in archive.pareto()}
    assert {(x, 9 - x) for x in range(10)} == found
    assert len(archive) == len({t.arch for t in archive})


def test_it_ends_where_everything_was_proposed():
    problem = Problem(
        flat(2, 3), [maximize(lambda a: a["d0"], "a"), minimize(lambda a: a["d1"], "b")]
    )
    archive = run_searcher(problem, nsga2(problem, 0, population=8), trials=500)
    assert len(archive) == 9 and len(front([t.losses for t in archive])) == 1
    assert math.isfinite(archive.best.losses[0])
