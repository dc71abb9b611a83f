"""SMAC: the climb on an acquisition function, random architectures in between."""

from __future__ import annotations

from random import Random

import numpy as np
from toys import flat

from archsmith.problem import Problem, at_most, maximize
from archsmith.searchers.smac import climbed, smac
from archsmith.searchers.untried import Untried

SPACE = flat(4, 4)


def problem(*constraints):
    return Problem(SPACE, [maximize(lambda a: float(sum(a.values())), "sum")], constraints)


def score(archs):
    return np.array([sum(arch.values()) for arch in archs], dtype=float)


def test_climbing_passes_over_what_is_known_and_stays_within_limits():
    start = SPACE.extreme(0)
    fresh = Untried(problem(), Random(0))
    top = SPACE.extreme(-1)
    fresh.taken([start, top])
    found = climbed(SPACE, fresh, [start, top], score)
    assert top not in found and start not in found
    assert max(score(found)) == 11  # next to the top, which is known
    tight = problem(at_most(lambda a: sum(a.values()), 7, "limit"))
    assert max(score(climbed(SPACE, Untried(tight, Random(0)), [start], score))) == 7


def test_every_second_is_random_and_the_others_are_of_the_model():
    searcher = smac(problem(), 0, trees=3, draws=20)
    origins, sizes = [], []
    for _ in range(9):
        trials = problem().evaluate(searcher.ask())
        origins.append(trials[0].candidate.origin)
        sizes.append(len(trials))
        searcher.tell(trials)
    assert sizes == [10] + [1] * 8
    assert origins == ["random", *["random", "model"] * 4]


def test_without_random_ones_all_are_of_the_model():
    searcher = smac(problem(), 0, trees=3, draws=20, random_every=0)
    searcher.tell(problem().evaluate(searcher.ask()))
    for _ in range(3):
        trials = problem().evaluate(searcher.ask())
        assert trials[0].candidate.origin == "model"
        searcher.tell(trials)
