"""Moving distributions: utilities, natural gradient and Fisher norm by hand, step lengths, pairwise
votes, how they end."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from archsmith.problem import Problem, maximize
from archsmith.searchers import natural_gradient as natural
from archsmith.searchers.archive import Archive
from archsmith.searchers.categorical import Categorical
from archsmith.searchers.loop import run_searcher
from archsmith.searchers.natural_gradient import (
    Adaptation,
    asng,
    by_logarithm,
    by_steps,
    direction,
    fisher_norm,
)
from archsmith.space import Architecture, SearchSpace

SPACE = SearchSpace({"a": (0, 1, 2), "b": (0, 1)})


def value(arch: Architecture) -> float:
    return float(arch["a"] + 3 * arch["b"])


def test_utilities() -> None:
    assert by_steps([1.0, 5.0]) == [-1.0, 1.0]
    assert by_steps([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == [-0.5, -0.5, 0.0, 0.0, 0.5, 0.5]
    assert by_steps([2.0, 2.0]) == [0.0, 0.0]
    found = by_logarithm([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert found == pytest.approx([-0.587, -0.315, -0.101, 0.101, 0.315, 0.587], abs=1e-3)


def distribution() -> Categorical:
    found = Categorical(SPACE)
    found.theta = {"a": [0.5, 0.3, 0.2], "b": [0.4, 0.6]}
    return found


def test_the_direction_is_the_mean_of_utility_times_one_hot_less_theta() -> None:
    archs = [Architecture({"a": 0, "b": 1}), Architecture({"a": 2, "b": 1})]
    found = direction(distribution(), archs, [1.0, -1.0])
    assert found["a"] == pytest.approx([0.5, 0.0, -0.5]) and found["b"] == pytest.approx([0.0, 0.0])
    assert fisher_norm(distribution(), found) == pytest.approx(math.sqrt(0.25 / 0.5 + 0.25 / 0.2))


def test_the_fisher_norm_agrees_with_that_in_the_free_coordinates() -> None:
    """Of a categorical in its first K - 1 probabilities the Fisher matrix is diag(1 / theta) + 1 /
    theta_K."""
    rng = np.random.default_rng(0)
    found = Categorical(SearchSpace({"a": (0, 1, 2, 3)}))
    theta = rng.dirichlet(np.ones(4))
    gradient = rng.normal(size=4)
    gradient -= gradient.mean()
    found.theta = {"a": theta.tolist()}
    fisher = np.diag(1 / theta[:-1]) + 1 / theta[-1]
    expected = math.sqrt(gradient[:-1] @ fisher @ gradient[:-1])
    assert fisher_norm(found, {"a": gradient.tolist()}) == pytest.approx(expected)


def test_a_step_of_sng_has_the_asked_length_before_the_bound() -> None:
    found = distribution()
    before = {name: list(row) for name, row in found.theta.items()}
    archs = [Architecture({"a": 0, "b": 1}), Architecture({"a": 1, "b": 0})]
    natural._moved(found, archs, [0.01, -0.01], 0.02)
    # so the bound played no part
    assert all(min(row) > 0.25 for name, row in found.theta.items() if name == "b")
    moved = {
        name: [x - y for x, y in zip(found.theta[name], before[name], strict=True)]
        for name in before
    }
    start = distribution()
    assert fisher_norm(start, moved) == pytest.approx(0.02, rel=1e-6)
    assert moved["a"][0] > 0 > moved["a"][1] and moved["b"][1] > 0


def test_nothing_moves_without_utility() -> None:
    found, adapted = distribution(), Adaptation()
    archs = [Architecture({"a": 0, "b": 1}), Architecture({"a": 1, "b": 0})]
    natural._moved(found, archs, [0.0, 0.0], 1.0)
    adapted.move(found, archs, [0.0, 0.0])
    assert found.theta == distribution().theta and adapted.size == 1.0


def test_the_trust_region_by_hand() -> None:
    """One step: beta = 1 / sqrt(3), path = sqrt(beta (2 - beta)) s with |s| = 1, gamma = beta (2 -
    beta)."""
    found, adapted = distribution(), Adaptation(alpha=1.5)
    archs = [Architecture({"a": 0, "b": 1}), Architecture({"a": 1, "b": 0})]
    adapted.move(found, archs, [1.0, -1.0])
    beta = 1 / math.sqrt(3)
    weight = beta * (2 - beta)
    assert adapted.weight == pytest.approx(weight)
    assert sum(p * p for row in adapted.path.values() for p in row) == pytest.approx(weight)
    assert adapted.size == pytest.approx(math.exp(beta * (weight - weight / 1.5)))


@pytest.mark.parametrize("make", [natural.sng, asng, natural.migo])
def test_they_find_the_best_and_end_with_their_mode(make: Any) -> None:
    problem = Problem(SPACE, [maximize(value, "value")])
    ends = []
    for seed in range(10):
        archive = Archive()
        run_searcher(problem, make(problem, seed, total=60), trials=10**6, archive=archive)
        trials = list(archive)
        assert trials[-1].candidate.origin == "mode" and 55 <= len(trials) <= 61
        ends.append(value(trials[-1].arch))
    assert sum(ends) / len(ends) > 4.3  # of 5; a random one has 2.5


@pytest.mark.parametrize("make", [natural.dynamic_sng, natural.dynamic_asng])
def test_the_pruning_forms_end_with_a_survivor(make: Any) -> None:
    problem = Problem(SPACE, [maximize(value, "value")])
    archive = Archive()
    run_searcher(problem, make(problem, 0, rounds=4), trials=10**6, archive=archive)
    trials = list(archive)
    assert trials[-1].candidate.origin == "survivor" and len(trials) == 4 * (3 + 2) + 1


def test_mdenas_moves_probability_to_what_was_tried_no_more_and_did_better() -> None:
    """Two options: after 0 then 1 was tried once each, the worse gives the better alpha at each
    later comparison."""
    space = SearchSpace({"a": (0, 1)})
    problem = Problem(space, [maximize(lambda arch: float(arch["a"]) + 1.0, "value")])
    ends = 0
    for seed in range(10):
        archive = Archive()
        run_searcher(
            problem,
            natural.mdenas(problem, seed, alpha=0.1, total=40),
            trials=10**6,
            archive=archive,
        )
        ends += list(archive)[-1].arch["a"]
    assert ends >= 7


def test_without_a_total_they_go_on() -> None:
    problem = Problem(SPACE, [maximize(value, "value")])
    archive = Archive()
    run_searcher(problem, asng(problem, 3), trials=25, archive=archive)
    assert len(list(archive)) == 25 and {t.candidate.origin for t in archive} == {"distribution"}
