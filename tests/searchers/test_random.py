"""Random search: nothing twice, all of a small space, uniform over what fits."""

from __future__ import annotations

from collections import Counter

from toys import chi_square, chi_square_bound, flat

from archsmith.problem import Problem, at_most, maximize
from archsmith.searchers.loop import run_searcher
from archsmith.searchers.random import random_search


def test_it_covers_a_small_space_once():
    problem = Problem(flat(3, 3), [maximize(lambda a: a["d0"], "d0")])
    archs = [t.arch for t in run_searcher(problem, random_search(problem, 0, batch=4), trials=1000)]
    assert len(archs) == 27 and set(archs) == set(problem.space.architectures())


def test_every_architecture_that_fits_is_as_likely():
    problem = Problem(
        flat(3, 4),
        [maximize(lambda a: a["d0"], "d0")],
        [at_most(lambda a: sum(a.values()), 2, "sum")],
    )
    fitting = [a for a in problem.space.architectures() if sum(a.values()) <= 2]
    first = Counter(random_search(problem, seed).ask()[0].arch for seed in range(40 * len(fitting)))
    assert chi_square([first[a] for a in fitting], [40.0] * len(fitting)) < chi_square_bound(
        len(fitting) - 1
    )
