"""Steady-state evolution: where parents come from, who leaves, what counts."""

from __future__ import annotations

from random import Random

import pytest

from archsmith.errors import UserError
from archsmith.problem import Problem, at_most, maximize
from archsmith.searchers.archive import Archive
from archsmith.searchers.loop import run_searcher
from archsmith.searchers.steady_state import steady_state
from archsmith.space import Architecture, SearchSpace

SPACE = SearchSpace({"x": tuple(range(100)), "y": tuple(range(100))})
START = Architecture({"x": 0, "y": 0})


def propose(arch: Architecture, rng: Random, places: int) -> Architecture:
    names = rng.sample(["x", "y"], places)
    return Architecture(
        {
            **arch,
            **{name: min(99, max(0, arch[name] + rng.choice((-3, -1, 1, 4)))) for name in names},
        }
    )


def total(arch: Architecture) -> float:
    return float(arch["x"] + arch["y"])


def run(trials: int, **settings: int) -> list[Architecture]:
    problem = Problem(
        SPACE,
        (maximize(total, name="total"),),
        (at_most(lambda arch: float(arch["x"]), 30, name="x"),),
    )
    archive = Archive()
    run_searcher(
        problem,
        steady_state(problem, 3, start=START, propose=propose, **settings),
        trials=trials,
        archive=archive,
    )
    return [trial.arch for trial in archive]


def test_the_first_ones_are_the_start_with_one_place_changed() -> None:
    found = run(300, population=8)
    for arch in found[:11]:
        assert 0 in (arch["x"], arch["y"]) and total(arch) <= 4
    # and it gets on from there
    assert max(total(arch) for arch in run(300, population=30) if arch["x"] <= 30) > 40


def test_rejected_candidates_count_as_trials() -> None:
    found = run(800, population=30)
    assert len(found) == 800 and any(arch["x"] > 30 for arch in found)


def test_the_same_seed_proposes_the_same() -> None:
    assert run(200, population=20) == run(200, population=20)
    with pytest.raises(UserError, match="population=0"):
        run(5, population=0)
