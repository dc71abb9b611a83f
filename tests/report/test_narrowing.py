"""The picture of a pruned distribution: bands as tall as their share, one option left, nothing
where nothing was pruned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_runs import SHARED, bare

from archsmith.report.narrowing import TALL, narrowing
from archsmith.run.records import Trained

OPTIONS = {"op": ["skip", "conv"], "width": ["8", "16", "32"], "fixed": ["only"]}
ONE = {"fixed": [1.0]}
STAGES = [
    {
        "theta": {"op": [1.0, 1.0], "width": [1.0, 1.0, 1.0], **ONE},
        "alive": {"op": [0, 1], "width": [0, 1, 2], "fixed": [0]},
    },
    {
        "theta": {"op": [0.0, 2.0], "width": [1.0, 3.0, 0.0], **ONE},
        "alive": {"op": [1], "width": [0, 1], "fixed": [0]},
    },
    {
        "theta": {"op": [0.0, 2.0], "width": [0.0, 3.0, 0.0], **ONE},
        "alive": {"op": [1], "width": [1], "fixed": [0]},
    },
]
SURVIVOR = {"op": "conv", "width": 16, "fixed": "only"}


def drawn(stages: list[Any]) -> Any:
    found = {**SHARED, "distribution": {"options": OPTIONS, "stages": stages, "survivor": SURVIVOR}}
    return narrowing(bare(Path(), trained=Trained.from_json(found, "made up")))


def test_bands_are_as_tall_as_their_share_and_the_last_is_what_is_left() -> None:
    picture = drawn(STAGES)
    assert (picture["from"], picture["to"], picture["prunings"]) == ("6", "1", 2)
    operation, width = picture["decisions"]  # what is not decided is not drawn
    assert [band["title"].replace("\u202f", "") for band in operation["bands"]] == [
        "skip: 50% at the start",
        "conv: 50% at the start",
        "conv: 100% after pruning 1",
        "conv: 100% after pruning 2",
    ]
    first, second, _, small, large, last = width["bands"]
    assert small["title"].startswith("8: 25") and large["title"].startswith("16: 75")
    assert (
        small["y"] == 0
        and large["y"] == pytest.approx(TALL / 4)
        and last["height"] == pytest.approx(TALL, abs=2)
    )
    assert [band["kind"] for band in (small, large, last)] == ["even", "kept", "kept"]
    assert {label["text"]: label["kept"] for label in width["labels"]} == {
        "8": False,
        "16": True,
        "32": False,
    }
    assert first["x"] < small["x"] < last["x"] and second["y"] > first["y"]


def test_nothing_is_drawn_where_nothing_was_pruned() -> None:
    assert drawn(STAGES[:1]) is None
    assert narrowing(bare(Path())) is None
