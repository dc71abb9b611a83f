"""Seeded runs of the searchers that rest on no other library, pinned: a change breaks the resuming
of older runs."""

from __future__ import annotations

import hashlib
from functools import partial

import pytest
from graded import Graded
from toys import staged, staged_costs

from archsmith.problem import Problem, at_most, maximize, minimize
from archsmith.searchers.hyperband import hyperband, successive_halving
from archsmith.searchers.local import local_search
from archsmith.searchers.loop import run_searcher
from archsmith.searchers.reinforce import reinforce
from archsmith.searchers.tpe import tpe

PINNED = {
    "local": "b07cc70806c61fda",
    "first": "6462d44b6f8e72fa",
    "halving": "65bc5d8084d75978",
    "hyperband": "20841f7578fbd0c8",
    "tpe": "8d758fc3688265f7",
    "reinforce": "183769614dd51242",
}
SEARCHERS = {
    "local": local_search,
    "first": partial(local_search, starts=5, first=True),
    "halving": partial(successive_halving, population=16),
    "hyperband": hyperband,
    "tpe": partial(tpe, batch=4),
    "reinforce": reinforce,
}


def digest(name: str) -> str:
    space = staged(3, 3)
    score = maximize(
        Graded(lambda arch: sum(v if n.endswith("depth") else v % 5 for n, v in arch.items()))
    )
    limit = 2.5 * staged_costs(space.extreme(0))["macs"]
    parts = []
    for objectives, constraints in (
        ([score], []),
        ([score, minimize(staged_costs, "params")], [at_most(staged_costs, limit, "macs")]),
    ):
        problem = Problem(space, objectives, constraints)
        found = run_searcher(problem, SEARCHERS[name](problem, 7), trials=80)
        parts += [f"{t.arch.key} {t.candidate.fidelity} {t.candidate.origin}" for t in found]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", SEARCHERS)
def test_pinned(name):
    assert digest(name) == PINNED[name]
