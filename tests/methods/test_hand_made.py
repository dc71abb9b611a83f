"""methods/hand_made.py: what one would build by hand, and neighbors of it, within the budget; other
spaces are refused."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from archsmith.elastic.supernet import search_space
from archsmith.errors import UserError
from archsmith.methods import hand_made
from archsmith.methods.job import Job, JobClock, JobData, JobLog, JobSpace, Training
from archsmith.metrics.cost import LAYERS, Costs
from archsmith.metrics.limits import constraints_of
from archsmith.problem import Candidate, Problem
from archsmith.problem.budget import parse
from archsmith.run.request import request_from
from archsmith.searchers.archive import Archive
from archsmith.space import Architecture
from archsmith.spaces.convnet import convnet
from archsmith.spaces.reference import BY_HAND, beside, in_space, reference
from archsmith.stages.requests import start
from archsmith.training.recipe import Recipe

BUDGET = "params<=30k, macs<=2M"


@pytest.fixture(scope="module")
def small() -> tuple[Any, Any, Any]:
    """The family at 16 pixels, a budget, its hand-made networks."""
    with torch.device("meta"):
        model = convnet(5, 1, 16)
    costs = Costs(model, (1, 16, 16), ("params", "macs", *LAYERS)).showing("params", "macs")
    problem = Problem(search_space(model), (), constraints_of(parse(BUDGET), costs, None))
    made = reference(5, 1, 16, {"params": 30e3, "macs": 2e6})
    return problem.space, lambda arch: problem.evaluate([Candidate(arch)])[0].feasible, made


def test_neighbors_keep_the_budget_and_use_it(small: tuple[Any, Any, Any]) -> None:
    space, keeps, made = small
    stream = beside(space, made[0], keeps, Random(0))
    found = [next(stream) for _ in range(24)]
    assert all(space.contains(arch) and keeps(arch) for arch in found)
    assert len(set(found)) >= 8
    base = in_space(space, made[0], keeps)
    assert base is not None and any(arch != base for arch in found)


def test_neighbors_are_of_dense_blocks_and_one_kind_apart_at_most(
    small: tuple[Any, Any, Any],
) -> None:
    space, keeps, made = small
    stream = beside(space, made[0], keeps, Random(1))
    for arch in (next(stream) for _ in range(24)):
        kinds = [
            arch[name] for name in arch if name.startswith("stage") and name.endswith(".block")
        ]
        assert set(kinds) <= {"pooled", "conv", "basic"}
        depths = [arch[f"stage{i}.depth"] for i in (2, 3, 4)]
        assert sum(depth != made[0].depth for depth in depths) <= 1


def test_nothing_fits_nothing_is_beside(small: tuple[Any, Any, Any]) -> None:
    space, _, made = small
    assert list(beside(space, made[0], lambda arch: False, Random(0))) == []


@pytest.mark.parametrize("space", ["mobilenet", "nasbench201", "my_model.py:Net"])
def test_other_spaces_are_refused(space: str) -> None:
    with pytest.raises(UserError, match="--space convnet"):
        hand_made.HandMade().check(space, "classification")


def test_a_run_lists_hand_made_networks_first_then_neighbors(tmp_path: Path) -> None:
    run = start(request_from(data="digits", budget=BUDGET, steps=10, threads=1), tmp_path / "run")
    listed = (run.stage("search") or {})["shortlist"]
    origins = [entry["origin"] for entry in listed]
    assert origins == ["hand-made", "hand-made", "neighbor", "neighbor"]
    assert len({entry["key"] for entry in listed}) == len(listed)
    assert (run.stage("screen") or {})["scored"] == 0
    assert len((run.stage("finish") or {})["reference"]["networks"]) == len(BY_HAND)
    page = (tmp_path / "run" / "report.html").read_text()
    assert (
        "as one would make them by hand" in page
        and "at random" not in page
        and ("Only scored") not in page
    )


@pytest.mark.parametrize(
    ("seconds", "views", "referenced", "count"),
    [
        (None, 2, True, 4),  # steps count: nothing says how long a step takes
        (3000.0, 2, True, 4),  # long enough for a wide race
        (200.0, 2, True, 1),  # one view is the reference's
        (200.0, 2, False, 2),
        (200.0, 1, True, 2),  # the second is a neighbor
        (200.0, 1, False, 2),
    ],
)
def test_where_time_is_short_few_networks_race(
    seconds: float | None, views: int, referenced: bool, count: int
) -> None:
    assert hand_made.places(4, seconds, views, alone=referenced) == count
    assert hand_made.places(1, seconds, views, alone=referenced) == 1


@pytest.mark.parametrize(
    ("passes", "views"), [(5, 1), (25, 1), (80, 2), (400, 2), (float("inf"), 2)]
)
def test_images_that_are_seen_often_are_looked_at_twice(passes: float, views: int) -> None:
    """One look won on 42,500 images (13 and 21 passes), two on 3,068 (80); on 4,250 (70) they are
    level."""
    assert hand_made.looks(passes) == views


@pytest.mark.parametrize(("flip", "views"), [("yes", [2, 1]), ("no", [None, None])])
def test_networks_look_at_mirror_images_where_those_mean_the_same(
    tmp_path: Path, flip: str, views: list[int | None]
) -> None:
    run = start(
        request_from(
            data="digits", budget="macs<=400k", steps=10, threads=1, flip=flip, reference=False
        ),
        tmp_path / "run",
    )
    listed = (run.stage("search") or {})["shortlist"]
    assert [
        entry["options"].get("views") for entry in listed if entry["origin"] == "hand-made"
    ] == views
    networks = (run.stage("finish") or {})["networks"]
    # what looks twice is narrower
    assert all(2e5 < networks[entry["key"]]["macs"] <= 4e5 for entry in listed)
    assert (run.stage("ship") or {})["budget"][0]["met"]


@pytest.mark.parametrize(
    ("referenced", "ms", "expected"),
    # the reference looks once; without one both forms race, and no neighbor takes a place; of few
    # passes none is given away
    [
        (True, 1e-3, [2]),
        (False, 1e-3, [2, 1]),
        (True, 20.0, [1]),
        (False, 20.0, [1]),
    ],
)
def test_both_forms_race_where_no_reference_has_the_other_one_and_a_cut_tells_something(
    referenced: bool, ms: float, expected: list[int]
) -> None:
    with torch.device("meta"):
        model = convnet(5, 1, 16, mirrors=True)
    space, costs = search_space(model), Costs(model, (1, 16, 16), ("params", "macs", *LAYERS))
    made = reference(5, 1, 16, {"params": 30e3, "macs": 2e6})[0]

    def by_hand(limits: Any, views: int = 1) -> list[Architecture]:
        found = in_space(space, made, lambda arch: costs(arch)["macs"] <= 2e6, views)
        return [] if found is None else [found]

    def neighbors(count: int, views: int = 1) -> list[Architecture]:
        raise AssertionError("drawing them takes seconds, and none has a place here")

    images = torch.zeros(8, 1, 16, 16), torch.zeros(8, dtype=torch.long)
    training = Training(seconds=200.0, images=500, class_counts=(100,) * 5, recipe=Recipe())
    job = Job(
        JobData((images, images)),
        JobSpace(model, space, costs, by_hand=by_hand, beside=neighbors),
        JobClock(finalists=4, training=training, referenced=referenced),
        JobLog(Archive(), lambda name, make: ms),  # of training, per image
    )
    listed = hand_made.HandMade().search(job).shortlist
    assert [entry.options["views"] for entry in listed if entry.origin == "hand-made"] == expected
    assert len(listed) == len(expected)
