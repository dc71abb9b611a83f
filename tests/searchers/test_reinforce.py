"""REINFORCE: one step by hand, what does not matter, what it converges to."""

from __future__ import annotations

import math

import pytest
from toys import flat, staged

from archsmith.errors import UserError
from archsmith.problem import Candidate, Problem, Trial, maximize
from archsmith.searchers.loop import run_searcher
from archsmith.searchers.reinforce import Policy, reinforce
from archsmith.space import Architecture


def trial(loss, **arch):
    return Trial(
        Candidate(Architecture(arch)),
        losses=() if loss is None else (loss,),
        reason=None if loss is not None else "no",
    )


def test_a_step_is_the_advantage_times_the_gradient_of_the_log_probability():
    policy = Policy(flat(2, 2), rate=0.5, momentum=0.9)
    policy.learn(trial(1.0, d0=0, d1=0))  # only sets the baseline to -1
    assert policy.distribution.theta["d0"] == [0.5, 0.5]
    policy.learn(trial(3.0, d0=0, d1=1))  # advantage -2; its moving variance is 0.1 * 4
    step = 0.5 * -2 / math.sqrt(0.4)
    odds = math.exp(step * 0.5 - step * -0.5)
    assert policy.distribution.theta["d0"] == pytest.approx([odds / (1 + odds), 1 / (1 + odds)])
    assert policy.distribution.theta["d1"] == pytest.approx([1 / (1 + odds), odds / (1 + odds)])


def test_failures_teach_as_the_worst_and_absent_decisions_learn_nothing():
    space = staged(1, 2)
    policy = Policy(space, rate=0.5, momentum=0.9)
    short = {"s0.depth": 1, "s0.b0.kernel": 3, "s0.b0.expand": 3}
    policy.learn(trial(None, **short))
    assert policy.distribution.theta["s0.depth"] == [0.5, 0.5]
    policy.learn(trial(1.0, **short))
    policy.learn(trial(0.0, **short))
    before = policy.distribution.theta["s0.depth"][0]
    assert before > 0.5
    policy.learn(trial(None, **short))
    assert policy.distribution.theta["s0.depth"][0] < before
    assert policy.distribution.theta["s0.b1.kernel"] == pytest.approx([1 / 3] * 3)


def test_the_unit_of_the_reward_does_not_matter():
    def proposals(unit):
        problem = Problem(flat(5, 3), [maximize(lambda a: unit * a["d0"], "d0")])
        return [t.arch for t in run_searcher(problem, reinforce(problem, 0), trials=40)]

    assert proposals(1.0) == proposals(1024.0)


def test_the_policy_finds_what_pays():
    problem = Problem(
        flat(8, 3), [maximize(lambda a: float(sum(v == 1 for v in a.values())), "ones")]
    )
    archs = [t.arch for t in run_searcher(problem, reinforce(problem, 0), trials=100)]
    assert len(set(archs)) == 100
    ones = [sum(v == 1 for v in arch.values()) for arch in archs]
    assert sum(ones[:10]) / 10 < 3.5 and max(ones) == 8 and sum(ones[20:]) / 80 > 4.5


def test_settings_that_make_no_sense_are_refused():
    problem = Problem(flat(2, 2), [maximize(lambda a: 1.0, "one")])
    for settings in ({"rate": 0}, {"momentum": 1.0}, {"batch": 0}):
        with pytest.raises(UserError, match="give"):
            reinforce(problem, 0, **settings).ask()
