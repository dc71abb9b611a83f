"""What was not proposed before: draws, pools of children, losses for what has none."""

from __future__ import annotations

from random import Random

import pytest
from toys import flat, staged, staged_costs

from archsmith.errors import UserError
from archsmith.problem import Candidate, Problem, Trial, at_most, maximize
from archsmith.searchers.untried import Untried, at_least_one, first_losses
from archsmith.space import mutate


def limited(limit):
    return Problem(
        flat(3, 3),
        [maximize(lambda a: 0.0, "score")],
        [at_most(lambda a: sum(a.values()), limit, "sum")],
    )


def test_draws_leave_out_what_was_taken_and_what_does_not_fit():
    problem = limited(2)
    fresh = Untried(problem, Random(0))
    fitting = {a for a in problem.space.architectures() if sum(a.values()) <= 2}
    given = fresh.taken([*list(fitting)[:3], list(fitting)[0]])
    assert len(given) == 3 and fresh.taken(given) == []
    assert set(fresh.draw(100)) == fitting - set(given)
    assert fresh.draw(1) == [] and not any(fresh.is_new(arch) for arch in fitting)


def test_a_pool_is_new_different_and_fits():
    problem = limited(3)
    rng = Random(1)
    fresh = Untried(problem, rng)
    (parent,) = fresh.draw(1)
    pool = fresh.pool(lambda: mutate(problem.space, parent, rng), 4)
    assert len(pool) == len(set(pool)) == 4 and parent not in pool
    assert all(fresh.fits(arch) and fresh.is_new(arch) for arch in pool)
    assert fresh.pool(lambda: parent, 4) == []


def test_children_are_mended_where_nearly_none_fits():
    space = staged(3, 3)
    problem = Problem(
        space,
        [maximize(lambda a: 0.0, "score")],
        [at_most(staged_costs, 1.05 * staged_costs(space.extreme(0))["macs"], "macs")],
    )
    rng = Random(2)
    fresh = Untried(problem, rng)
    pool = fresh.pool(lambda: space.sample(rng), 5)
    assert pool and all(fresh.fits(arch) for arch in pool)


def test_what_was_not_measured_is_as_bad_as_the_worst():
    one = Candidate(flat(1, 1).extreme())
    trials = [
        Trial(one, losses=(2.0, 9.0)),
        Trial(one, reason="no"),
        Trial(one, losses=(5.0, 0.0)),
        Trial(one, violation=1.0),
    ]
    assert first_losses(trials) == [2.0, 5.0, 5.0, 5.0]
    assert first_losses(trials[1:2]) == [0.0]


def test_settings_below_one_are_refused():
    at_least_one(batch=1, samples=2)
    with pytest.raises(UserError, match="batch=0; give at least 1"):
        at_least_one(samples=2, batch=0)
