"""Seeded runs, pinned: a change of what a searcher proposes must be meant, for it breaks the
resuming of older runs."""

from __future__ import annotations

import hashlib
from functools import partial

import pytest
from toys import staged, staged_costs

from archsmith.problem import Problem, at_most, maximize, minimize
from archsmith.searchers.evolution import evolution, regularized_evolution
from archsmith.searchers.loop import run_searcher
from archsmith.searchers.nsga import nsga2, nsga3
from archsmith.searchers.random import random_search

PYMOO = "0.6.2"  # the version the two of them were pinned with
GOLDEN = {
    "random": "762ecf8f751b7cb8",
    "evolution": "ed0d5d5377f3ed6f",
    "regularized": "0dde42311186b5ae",
    "nsga2": "1223e6c2670d57ad",
    "nsga3": "6f39ca638903edbc",
}
SEARCHERS = {
    "random": random_search,
    "evolution": partial(evolution, population=16, offspring=8),
    "regularized": partial(regularized_evolution, population=16, tournament=4),
    "nsga2": partial(nsga2, population=16),
    "nsga3": partial(nsga3, population=16),
}


def digest(name: str) -> str:
    space = staged(3, 3)
    score = maximize(
        lambda arch: sum(v if n.endswith("depth") else v % 5 for n, v in arch.items()), "score"
    )
    limit = 2.5 * staged_costs(space.extreme(0))["macs"]
    parts = []
    for objectives, constraints in (
        ([score], []),
        ([score, minimize(staged_costs, "params")], [at_most(staged_costs, limit, "macs")]),
    ):
        problem = Problem(space, objectives, constraints)
        parts += [t.arch.key for t in run_searcher(problem, SEARCHERS[name](problem, 7), trials=80)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", SEARCHERS)
def test_golden(name):
    if name.startswith("nsga"):
        import pymoo

        if pymoo.__version__ != PYMOO:
            pytest.skip(
                f"pinned with pymoo {PYMOO}, this is {pymoo.__version__}: its operators "
                f"may draw in another order"
            )
    assert digest(name) == GOLDEN[name]
