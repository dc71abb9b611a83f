"""recorded/benchmark.py: a table becomes a benchmark in one call, with fidelities, seconds and a
truth of its own."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from archsmith.errors import OutOfSpace, UserError
from archsmith.problem import Problem, maximize
from archsmith.recorded.benchmark import Curve, Lookup, tabulated
from archsmith.searchers.loop import run_searcher
from archsmith.searchers.random import random_search
from archsmith.space import Architecture, SearchSpace

SPACE = SearchSpace({"width": (8, 16, 32), "depth": (1, 2, 3)})
TABLE = {arch: float(arch["width"] * arch["depth"]) for arch in SPACE.architectures()}
FACTS = {
    "title",
    "source",
    "licence",
    "file",
    "sha256",
    "score",
    "truth",
    "unit",
    "optimum",
    "best",
    "noise",
    "surrogate",
    "simulated_seconds",
    "complete",
    "count",
    "truth_fidelity",
}


def test_a_plain_table_is_score_and_truth() -> None:
    found = tabulated("mine", SPACE, TABLE, unit="points", licence="mine")
    assert (
        set(found.facts) >= FACTS
        and found.facts["unit"] == "points"
        and found.facts["licence"] == "mine"
    )
    assert found.facts["optimum"] == 96 and found.facts["complete"] and found.facts["count"] == 9
    assert isinstance(found.score, Lookup) and all(
        found.truth(arch) == value for arch, value in TABLE.items()
    )
    assert pickle.loads(pickle.dumps(found)).truth(SPACE.extreme(-1)) == 96
    archive = run_searcher(
        Problem(SPACE, maximize(found.score)),
        random_search(Problem(SPACE, maximize(found.score)), 0),
        trials=5,
    )
    assert archive.best is not None and archive.best.metrics["accuracy"] == max(
        t.metrics["accuracy"] for t in archive
    )


def test_fidelities_seconds_and_a_truth_of_its_own() -> None:
    early = {arch: value / 2 for arch, value in TABLE.items()}
    truth = {arch: value + 1 for arch, value in TABLE.items()}
    found = tabulated(
        "mine", SPACE, {12: TABLE, 3: early}, seconds={12: TABLE, 3: early}, truth=truth
    )
    arch = SPACE.extreme(-1)
    assert isinstance(found.score, Curve) and found.score.fidelities == (3.0, 12.0)
    assert (found.score.at(arch, 3.0), found.score(arch), found.truth(arch)) == (48, 96, 97)
    assert (
        found.score.cost(arch, 3.0) == {"simulated_seconds": 48.0} and found.facts["optimum"] == 97
    )


PART = dict(list(TABLE.items())[:4])


@pytest.mark.parametrize(
    ("values", "settings", "told"),
    [
        ({}, {}, "the table is empty"),
        ({Architecture({"width": 8, "depth": 9}): 1.0}, {}, "depth"),
        (TABLE, {"truth": PART}, "a table has no value of"),
        ({1: PART, 2: TABLE}, {}, "a table has no value of"),
    ],
)
def test_what_does_not_fit_is_refused(values: Any, settings: Any, told: str) -> None:
    with pytest.raises((UserError, OutOfSpace), match=told):
        tabulated("mine", SPACE, values, **settings)


def test_a_part_of_a_space_is_not_complete() -> None:
    found = tabulated("mine", SPACE, PART)
    assert not found.facts["complete"] and found.facts["count"] == 4
