"""TPE: its densities by hand, over conditional spaces too, and its draws."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import chi_square, chi_square_bound, flat, random_space, staged

from archsmith.problem import Candidate, Problem, Trial, maximize
from archsmith.searchers.tpe import drawn, log_density, tpe, trial_weights
from archsmith.space import Architecture


def trials(*archs):
    return [Trial(Candidate(Architecture(arch)), losses=(0.0,)) for arch in archs]


def test_weights_are_counts_plus_one():
    space = staged(1, 2)
    some = trials(
        {"s0.depth": 1, "s0.b0.kernel": 3, "s0.b0.expand": 3},
        {"s0.depth": 2, "s0.b0.kernel": 3, "s0.b0.expand": 4, "s0.b1.kernel": 7, "s0.b1.expand": 6},
    )
    found = trial_weights(space, some)
    assert found["s0.depth"] == {1: 2 / 4, 2: 2 / 4}
    assert found["s0.b0.kernel"] == {3: 3 / 5, 5: 1 / 5, 7: 1 / 5}
    assert found["s0.b1.kernel"] == {3: 1 / 4, 5: 1 / 4, 7: 2 / 4}  # of the one that has this block
    assert trial_weights(space, [])["s0.b1.kernel"] == pytest.approx({3: 1 / 3, 5: 1 / 3, 7: 1 / 3})
    assert log_density(found, some[0].arch) == pytest.approx(math.log(1 / 2 * 3 / 5 * 2 / 5))


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_densities_sum_to_one_over_the_space(seed):
    space = random_space(seed)
    rng = Random(seed)
    found = trial_weights(space, [Trial(Candidate(space.sample(rng))) for _ in range(5)])
    assert sum(
        math.exp(log_density(found, arch)) for arch in space.architectures()
    ) == pytest.approx(1)


def test_draws_follow_the_density():
    space = staged(1, 2, (3, 5), (4,))
    rng = Random(0)
    found = trial_weights(space, [Trial(Candidate(space.sample(rng))) for _ in range(7)])
    archs = list(space.architectures())
    counts = dict.fromkeys(archs, 0)
    for _ in range(3000):
        counts[drawn(space, found, rng)] += 1
    expected = [3000 * math.exp(log_density(found, arch)) for arch in archs]
    assert chi_square(list(counts.values()), expected) < chi_square_bound(len(archs) - 1)


def test_proposals_take_the_options_of_the_good():
    problem = Problem(
        flat(8, 4), [maximize(lambda a: float(sum(v == 2 for v in a.values())), "twos")]
    )
    searcher = tpe(problem, 0, initial=30)
    sizes, told = [], []
    for _ in range(60):
        batch = problem.evaluate(searcher.ask())
        sizes.append(len(batch))
        told += batch
        searcher.tell(batch)
    assert sizes == [30] + [1] * 59
    assert {t.candidate.origin for t in told[30:]} == {"model"}
    assert min(t.losses[0] for t in told) <= -7 and sum(t.losses[0] for t in told[-20:]) / 20 < -4.5


def test_batches_are_the_best_of_one_pool():
    problem = Problem(flat(8, 4), [maximize(lambda a: float(sum(a.values())), "sum")])
    searcher = tpe(problem, 0, initial=10, batch=5)
    searcher.tell(problem.evaluate(searcher.ask()))
    assert len(searcher.ask()) == 5 == len({c.arch for c in searcher.ask()})
